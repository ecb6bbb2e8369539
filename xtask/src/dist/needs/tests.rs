use super::*;

const SAID: &str = "\
Dynamic section at offset 0x1d0 contains 33 entries:
 0x0000000000000001 (NEEDED)             Shared library: [libstdc++.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [libcuda.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000001e (FLAGS)              BIND_NOW

Version needs section '.gnu.version_r' contains 2 entries:
  0x0010:   Name: GLIBC_2.9  Flags: none  Version: 4
  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 3
  0x0030:   Name: GLIBC_2.2.5  Flags: none  Version: 2
  0x0040:   Name: GCC_3.0  Flags: none  Version: 5
";

/// ORCH-INST-6
#[test]
fn libraries_and_the_newest_version_of_the_c_library_are_read() {
    let needs = Needs::read(SAID);
    assert_eq!(needs.to_string(), "libstdc++.so.6, libcuda.so.1, libc.so.6; glibc 2.34 or later");
}

/// ORCH-INST-6
#[test]
fn what_not_every_system_has_is_a_stranger_unless_a_back_end_brings_it() {
    let needs = Needs::read(SAID);
    let cuda = ["cuda".to_owned()];
    assert_eq!(needs.strangers(&[], Runtimes::Inside), ["libstdc++.so.6", "libcuda.so.1"]);
    assert_eq!(needs.strangers(&cuda, Runtimes::Inside), ["libstdc++.so.6"]);
    assert_eq!(needs.strangers(&cuda, Runtimes::Shared), [""; 0]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_says_that_it_needs_the_c_library() {
    if crate::process::in_path("readelf").is_none() {
        eprintln!("SKIPPED: `readelf` is not installed");
        return;
    }
    let needs = Needs::of(&std::env::current_exe().unwrap()).await.unwrap();
    assert!(needs.libraries.iter().any(|name| name.starts_with("libc.")), "{needs}");
    let none = Needs::of(Path::new("/dev/null")).await;
    assert!(none.map_or(true, |needs| needs.libraries.is_empty()));
}
