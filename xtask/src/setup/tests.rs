use super::*;

#[test]
fn nothing_missing_needs_nothing() {
    assert_eq!(plan(&[], Some(Manager::Apt), Rights::Root), Plan::Ready);
    assert_eq!(plan(&[], None, Rights::None), Plan::Ready);
}

#[test]
fn apt_installs_only_what_is_missing_and_only_for_who_may() {
    let missing = [Need::Cmake, Need::Libclang];
    assert_eq!(
        plan(&missing, Some(Manager::Apt), Rights::Root),
        Plan::Apt { prefix: &[], packages: vec!["cmake", "libclang-dev"] }
    );
    assert_eq!(
        plan(&missing[1..], Some(Manager::Apt), Rights::Sudo),
        Plan::Apt { prefix: &["sudo", "-n"], packages: vec!["libclang-dev"] }
    );
    let Plan::Tell(advice) = plan(&missing, Some(Manager::Apt), Rights::None) else {
        panic!("a user without rights must be told the command");
    };
    assert!(advice.contains("sudo apt-get update && sudo apt-get install -y cmake libclang-dev"), "{advice}");
}

#[test]
fn every_other_package_manager_gets_its_exact_command() {
    for (manager, command) in [
        (Manager::Dnf, "sudo dnf install -y cmake clang-devel gcc-c++ make"),
        (Manager::Pacman, "sudo pacman -S --needed --noconfirm cmake clang gcc make"),
        (Manager::Zypper, "sudo zypper --non-interactive install cmake clang-devel gcc-c++ make"),
        (Manager::Apk, "sudo apk add cmake clang-dev g++ make"),
        (Manager::Brew, "brew install cmake llvm gcc make"),
    ] {
        // Root or not: only apt is run from here.
        let Plan::Tell(advice) = plan(&Need::ALL, Some(manager), Rights::Root) else {
            panic!("{manager:?} must be told, not run");
        };
        assert!(advice.contains(command), "{advice}");
    }
}

#[test]
fn a_machine_without_a_known_package_manager_hears_what_is_missing() {
    let Plan::Tell(advice) = plan(&[Need::Make], None, Rights::Root) else {
        panic!("nothing can be installed here");
    };
    assert!(advice.contains("needs make") && advice.contains("package manager"), "{advice}");
}

#[test]
fn the_library_bindgen_loads_is_told_from_its_neighbours() {
    for name in ["libclang.so", "libclang-14.so.1", "libclang.so.18", "libclang.dylib"] {
        assert!(is_libclang(name), "{name}");
    }
    for name in ["libclang-cpp.so.14", "libclangTidy.a", "libclang.a"] {
        assert!(!is_libclang(name), "{name}");
    }
}
