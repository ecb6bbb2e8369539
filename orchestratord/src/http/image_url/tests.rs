//! Which addresses pass, in every spelling that an engine might read as another host.

use super::*;

/// ORCH-IMG-1
#[test]
fn images_in_the_request_and_on_public_hosts_pass() {
    let urls = ImageUrls::default();
    for url in [
        "data:image/png;base64,AAAA",
        "data:image/jpeg;charset=x;base64,/9j/",
        "https://example.org/a.png",
        "https://Images.Example.ORG:8443/a?b=c#d",
        "https://example.org./a.png",
        "https://example.org",
        "https://93.184.216.34/a.png",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/a.png",
        "https://notlocalhost.example/x",
        "https://xn--bcher-kva.example/x",
    ] {
        assert_eq!(urls.checked("f", url.to_owned()).expect(url), url);
    }
}

/// ORCH-IMG-1
#[test]
fn what_is_no_address_of_an_image_is_refused_by_its_field() {
    let urls = ImageUrls::default();
    for (url, words) in [
        ("file:///etc/passwd", "use a `data:image/` or an `https://` URL"),
        ("FILE:///etc/passwd", "use a `data:image/`"),
        ("ftp://example.org/a.png", "use a `data:image/`"),
        ("gopher://example.org/", "use a `data:image/`"),
        ("//example.org/a.png", "use a `data:image/`"),
        ("/etc/passwd", "use a `data:image/`"),
        ("", "use a `data:image/`"),
        ("data:text/html;base64,AAAA", "use `data:image/TYPE;base64,DATA`"),
        ("data:image/svg+xml;base64,AAAA", "use `data:image/TYPE;base64,DATA`"),
        ("data:image/png,AAAA", "use `data:image/TYPE;base64,DATA`"),
        ("data:image/png;base64,", "use `data:image/TYPE;base64,DATA`"),
        ("data:image/;base64,AAAA", "use `data:image/TYPE;base64,DATA`"),
        ("http://example.org/a.png", "use `https://`"),
        ("https://user@example.org/a.png", "without a user name"),
        ("https://example.org\\@127.0.0.1/", "write it as"),
        ("https://exa mple.org/", "write it as"),
        ("https://example.org/a\tb", "write it as"),
        ("https://exämple.org/", "in ASCII"),
        ("https://%6c%6f.example/", "write it as"),
        ("https://example.org:80x/", "write it as"),
        ("https://[::1/", "write it as"),
        ("https://", "write it as"),
    ] {
        let refused = urls.checked("messages[0].x", url.to_owned()).expect_err(url).to_string();
        assert!(refused.contains("`messages[0].x` is `") && refused.contains(words), "{url}: {refused}");
    }
    let long = format!("https://example.org/{}", "a".repeat(MAX_URL_BYTES));
    assert!(urls.checked("f", long).expect_err("too long").to_string().contains("has at most 8192"));
}

/// ORCH-IMG-1
#[test]
fn hosts_that_are_not_public_are_refused_in_every_spelling_unless_they_are_configured() {
    let local = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "nas",
        "nas.local",
        "box.lan",
        "metadata.google.internal",
        "printer.home.arpa",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.5",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:1::]",
        "[2001:db8::1]",
        "[ff02::1]",
        "a..example",
    ];
    for host in local {
        let url = format!("https://{host}:8443/a.png");
        let refused = ImageUrls::default().checked("f", url.clone()).expect_err(&url).to_string();
        assert!(refused.contains("is not a public host") && refused.contains("`image_hosts`"), "{refused}");
    }
    let urls = ImageUrls::new(&["NAS.lan".to_owned(), "192.168.1.5".to_owned(), "fd00::1".to_owned()]);
    for url in
        ["http://nas.lan/a.png", "https://nas.lan:8443/", "http://192.168.1.5:80/a", "http://[fd00::1]/a"]
    {
        assert_eq!(urls.checked("f", url.to_owned()).expect(url), url);
    }
    for url in
        ["http://a.nas.lan/", "http://192.168.1.6/", "file://nas.lan/a.png", "http://nas.lan@192.168.1.6/"]
    {
        urls.checked("f", url.to_owned()).expect_err(url);
    }
}
