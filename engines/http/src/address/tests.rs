use super::Address;

#[test]
fn a_url_is_taken_apart() {
    for (url, host, port, path, shown) in [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "", "http://127.0.0.1:8080"),
        ("http://gpu.local/", "gpu.local", 80, "", "http://gpu.local:80"),
        ("http://[::1]:8000/v1/", "::1", 8000, "/v1", "http://[::1]:8000/v1"),
        ("https://gpu.local/v1", "gpu.local", 443, "/v1", "https://gpu.local:443/v1"),
        ("http://h:1/a/b", "h", 1, "/a/b", "http://h:1/a/b"),
    ] {
        let address = Address::parse(url).expect(url);
        assert_eq!((address.host(), address.port(), address.path()), (host, port, path));
        assert_eq!(address.to_string(), shown);
    }
}

#[test]
fn what_is_no_engines_url_is_refused_with_the_reason() {
    for (url, why) in [
        ("ftp://h", "its scheme is neither `http` nor `https`"),
        ("localhost:8080", "it has no scheme"),
        ("127.0.0.1", "it has no scheme"),
        ("", "it cannot be read"),
        ("http://user:pw@h:1", "a user and password in it are not sent"),
        ("http://h:0", "its port is not a number from 1 to 65535"),
        ("http://h:", "its port is not a number from 1 to 65535"),
        ("http://h:70000", "its port is not a number from 1 to 65535"),
        ("http://h:1/?a=b", "it has a query or a fragment"),
        ("http://h:1/ a", "it cannot be read"),
    ] {
        let error = Address::parse(url).expect_err(url).to_string();
        assert!(error.starts_with(&format!("`{url}` is not the URL of an engine: {why}")), "{error}");
    }
}

#[test]
fn an_ending_is_taken_off_once() {
    let address = |url: &str| Address::parse(url).expect(url).without("/v1").to_string();
    assert_eq!(address("http://h:1/v1"), "http://h:1");
    assert_eq!(address("http://h:1/x/v1/"), "http://h:1/x");
    assert_eq!(address("http://h:1/x"), "http://h:1/x");
}
