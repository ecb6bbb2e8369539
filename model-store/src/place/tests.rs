//! Two references never share a path, a path reads back as its reference, and none leaves the store.

use std::path::Component;

use proptest::prelude::*;

use super::*;

/// URLs from few, awkward parts, so that near collisions are common.
fn url() -> impl Strategy<Value = String> {
    let scheme_and_host = prop_oneof![
        Just("https://h".to_owned()),
        Just("https://h:1".to_owned()),
        Just("https://h_1".to_owned()),
        Just("https://[::1]:1".to_owned()),
        Just("http://127.0.0.1:1".to_owned()),
        Just("https://127.0.0.1:1".to_owned()),
    ];
    let awkward = prop_oneof![
        "[a/+_ .%@~?=&:ö-]{1,6}",
        Just("..".to_owned()),
        Just("a%2Fb".to_owned()),
        Just("x".repeat(199)),
        Just("x".repeat(201)),
    ];
    (scheme_and_host, prop::collection::vec(awkward, 1..4), prop_oneof![Just(""), Just(".gguf")])
        .prop_map(|(host, parts, suffix)| format!("{host}/{}{suffix}", parts.join("/")))
        .prop_filter("a reference", |url| matches!(ModelRef::parse(url), Ok(ModelRef::Url(_))))
}

fn names(path: &Path) -> Vec<&str> {
    path.iter().map(|name| name.to_str().expect("UTF-8")).collect()
}

proptest! {
    /// ORCH-STORE-3
    #[test]
    fn two_urls_never_share_a_path_and_none_is_a_folder_of_the_other(one in url(), other in url()) {
        let (a, b) = (of_url(&one), of_url(&other));
        prop_assert_eq!(a == b, one == other);
        prop_assert!(a == b || !(a.starts_with(&b) || b.starts_with(&a)));
    }

    /// ORCH-STORE-3
    #[test]
    fn a_path_stays_in_the_store_fits_a_file_system_and_reads_back_as_its_url(url in url()) {
        let path = of_url(&url);
        prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
        let names = names(&path);
        prop_assert_eq!(names.len(), 4);
        prop_assert!(names.iter().all(|name| name.len() <= MAX_NAME_BYTES && !name.starts_with('.')));
        let was_cut = names.iter().any(|name| name.contains(HASH_MARK));
        prop_assert_eq!(url_of(&names), (!was_cut).then_some(ModelRef::Url(url)));
    }

    /// ORCH-STORE-3
    #[test]
    fn a_version_has_a_path_of_its_own(url in url(), other in url(), sums in ["[0-9a-f]{64}", "[0-9a-f]{64}"]) {
        let path = of_url(&url);
        let [a, b] = [&sums[0], &sums[1]].map(|sum| of_version(&path, sum));
        prop_assert_ne!(&a, &b);
        prop_assert!(is_version(&a, &path) && !is_version(&path, &path));
        prop_assert!(a != of_url(&other) && url_of(&names(&a)).is_none());
        prop_assert_eq!(of_version(&of_url(&other), &sums[0]) == a, url == other);
    }

    /// ORCH-STORE-3
    #[test]
    fn a_legacy_path_that_is_trusted_is_of_one_url_only(one in url(), other in url()) {
        let is_shared = one != other && legacy_of_url(&one) == legacy_of_url(&other);
        prop_assert!(!is_shared || !has_own_legacy_place(&one) || !has_own_legacy_place(&other));
    }
}

#[test]
fn names_that_met_in_one_legacy_path_have_paths_of_their_own() {
    for (one, other) in [
        ("https://h/a+b.gguf", "https://h/a_b.gguf"),
        ("https://h:1/a.gguf", "https://h_1/a.gguf"),
        ("http://localhost/a.gguf", "https://localhost/a.gguf"),
        ("https://h/a//b.gguf", "https://h/a/b.gguf"),
    ] {
        assert_eq!(legacy_of_url(one), legacy_of_url(other), "{one} {other}");
        assert_ne!(of_url(one), of_url(other), "{one} {other}");
        assert!(!(has_own_legacy_place(one) && has_own_legacy_place(other)), "{one} {other}");
    }
}

#[test]
fn the_path_is_the_same_in_the_next_version_and_on_the_next_machine() {
    for (url, path) in [
        ("https://h.example/a/m.v2.gguf#part", "url/https/h.example/a%2Fm.v2.gguf"),
        ("https://h.example:8443/m.gguf?rev=1", "url/https/h.example%3A8443/m.gguf%3Frev%3D1"),
        ("https://h.example/../../etc/x.gguf", "url/https/h.example/%2E.%2F..%2Fetc%2Fx.gguf"),
        ("https://../x.gguf", "url/https/%2E./x.gguf"),
    ] {
        assert_eq!(of_url(url), PathBuf::from(path), "{url}");
    }
    for (url, path, is_trusted) in [
        ("https://h.example/a/m.v2.gguf?rev=1", "web/h.example/a/m.v2-c86a76961d8f.gguf", true),
        ("https://h.example/a/m.gguf", "web/h.example/a/m.gguf", true),
        ("https://h.example/a/q4_k_m.gguf", "web/h.example/a/q4_k_m.gguf", false),
        ("https://..:1/x.gguf", "web/.._1/x.gguf", false),
    ] {
        assert_eq!(
            (legacy_of_url(url), has_own_legacy_place(url)),
            (PathBuf::from(path), is_trusted),
            "{url}"
        );
    }
    let version = of_version(Path::new("hf/o/r/m.gguf"), &"0123456789abcdef".repeat(4));
    assert_eq!(version, Path::new("hf/o/r/m@0123456789abcdef.gguf"));
}
