//! Room, names and units.

use super::*;

#[test]
fn bytes_are_said_in_units() {
    for (bytes, said) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (98_362_432, "93.8 MiB"),
        (1 << 41, "2048.0 GiB"),
    ] {
        assert_eq!(in_units(bytes), said);
    }
}

#[test]
fn a_full_disk_is_told_from_other_failures() {
    let path = Path::new("/m/x.gguf");
    let error = |kind: io::ErrorKind| write_failed(path, kind.into(), 3 << 20).to_string();
    let full = "not enough space in `/m`: needs 3.0 MiB, 0 bytes free\n  hint: free some, or set `models_dir` to \
                another disk";
    assert_eq!(error(io::ErrorKind::StorageFull), full);
    assert_eq!(error(io::ErrorKind::QuotaExceeded), full);
    assert!(
        error(io::ErrorKind::PermissionDenied).starts_with("cannot write `/m/x.gguf`: permission denied")
    );
}

#[test]
fn what_belongs_to_a_file_is_hidden_beside_it() {
    assert_eq!(beside(Path::new("/m/x.gguf"), "part"), Path::new("/m/.x.gguf.part"));
}
