use http::HeaderValue;

use super::*;

fn rules(listen: &str) -> HostRules {
    HostRules::new(listen.parse().unwrap(), &["Workstation.lan".to_owned()])
}

fn check(rules: &HostRules, headers: &[(http::HeaderName, &'static str)]) -> Result<(), Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, HeaderValue::from_static(value));
    }
    rules.check(&Origins::default(), Version::HTTP_11, &Uri::from_static("/health"), &map)
}

fn host(rules: &HostRules, host: &'static str) -> bool {
    check(rules, &[(HOST, host)]).is_ok()
}

/// ORCH-SEC-5
#[test]
fn the_daemon_goes_by_loopback_names_its_address_and_the_allowed_ones() {
    let rules = rules("192.168.1.5:6173");
    for ours in [
        "localhost",
        "localhost:6173",
        "LOCALHOST:1",
        "localhost.",
        "console.localhost",
        "127.0.0.1:6173",
        "127.8.8.8",
        "[::1]:6173",
        "[::ffff:127.0.0.1]",
        "192.168.1.5:6173",
        "workstation.lan",
        "WORKSTATION.LAN:80",
    ] {
        assert!(host(&rules, ours), "{ours} is ours");
    }
    for foreign in [
        "evil.example",
        "evil.example:6173",
        "localhost.evil.example",
        "notlocalhost",
        "192.168.1.6",
        "0.0.0.0",
        "[::2]",
        "",
        ":6173",
        "127.0.0.1.evil.example",
        "user@localhost",
        "a b",
        "workstation.lan.evil.example",
    ] {
        assert!(!host(&rules, foreign), "{foreign} is not ours");
    }
}

#[test]
fn a_daemon_on_all_addresses_takes_any_address_but_no_foreign_name() {
    let rules = rules("0.0.0.0:6173");
    assert!(host(&rules, "10.0.0.7:6173"));
    assert!(host(&rules, "[fd00::7]:6173"));
    assert!(!host(&rules, "evil.example"));
}

#[test]
fn the_message_names_the_host_and_where_to_allow_it() {
    let Err(Refusal::Forbidden(message)) = check(&rules("127.0.0.1:6173"), &[(HOST, "evil.example:6173")])
    else {
        panic!("a foreign host is forbidden")
    };
    assert!(message.contains("`evil.example:6173`") && message.contains("`allowed_hosts`"), "{message}");
}

/// ORCH-SEC-5
#[test]
fn a_page_of_another_host_is_forbidden_and_one_of_ours_is_not() {
    let rules = rules("127.0.0.1:6173");
    let from = |origin| check(&rules, &[(HOST, "localhost:6173"), (ORIGIN, origin)]);
    for ours in ["http://localhost:6173", "http://127.0.0.1:3000", "https://workstation.lan"] {
        assert_eq!(from(ours), Ok(()), "{ours}");
    }
    for foreign in ["https://evil.example", "null", "", "file://", "http://localhost.evil.example"] {
        assert!(matches!(from(foreign), Err(Refusal::Forbidden(_))), "{foreign}");
    }
}

/// ORCH-SEC-9
#[test]
fn the_advice_of_a_refused_page_works() {
    let rules = rules("127.0.0.1:6173");
    let page = HeaderMap::from_iter([
        (HOST, HeaderValue::from_static("localhost:6173")),
        (ORIGIN, HeaderValue::from_static("app://obsidian.md")),
    ]);
    let check = |origins: &[String]| {
        rules.check(&Origins::new(origins), Version::HTTP_11, &Uri::from_static("/v1/models"), &page)
    };
    let Err(Refusal::Forbidden(message)) = check(&[]) else { panic!("not allowed yet") };
    let advice = message.split("add `").nth(1).and_then(|rest| rest.split_once("` to `allowed_origins`"));
    assert_eq!(check(&[advice.expect("it says what to add").0.to_owned()]), Ok(()));
}

/// ORCH-SEC-5
#[test]
fn a_request_names_its_host_once() {
    let rules = rules("127.0.0.1:6173");
    assert!(matches!(check(&rules, &[]), Err(Refusal::Invalid(_))));
    assert!(matches!(
        check(&rules, &[(HOST, "localhost"), (HOST, "evil.example")]),
        Err(Refusal::Invalid(_))
    ));
    let old =
        rules.check(&Origins::default(), Version::HTTP_10, &Uri::from_static("/health"), &HeaderMap::new());
    assert_eq!(old, Ok(()), "before HTTP/1.1 there was no such header");
}

#[test]
fn a_host_in_the_request_line_counts_too() {
    let rules = rules("127.0.0.1:6173");
    let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
    let check = |uri| rules.check(&Origins::default(), Version::HTTP_11, &Uri::from_static(uri), &headers);
    assert_eq!(check("http://localhost:6173/health"), Ok(()));
    assert!(matches!(check("http://evil.example/health"), Err(Refusal::Forbidden(_))));
}
