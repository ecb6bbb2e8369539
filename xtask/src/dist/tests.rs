use super::*;

#[test]
fn everything_that_is_installed_is_in_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for file in INSTALLED.map(|file| format!("packaging/{file}")).iter().map(String::as_str).chain(PAPERS) {
        assert!(root.join(file).is_file(), "{file}");
    }
}

/// ORCH-INST-5
#[test]
fn checksums_are_those_of_every_file_in_order() {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"), &dir.path().join("b/file")).unwrap();
    fs::write(dir.path().join("b/file"), "abc").unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sums(dir.path()).unwrap(), format!("{empty}  a\n{abc}  b/file\n"));
}

/// ORCH-INST-5
#[tokio::test]
async fn an_archive_is_the_same_for_the_same_files_and_has_its_checksum_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("llama-orch-1");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "abc").unwrap();
    let archive = pack(&folder).await.unwrap();
    let line = fs::read_to_string(dir.path().join("llama-orch-1.tar.gz.sha256")).unwrap();
    assert_eq!(line, format!("{}  llama-orch-1.tar.gz\n", sum_of(&archive).unwrap()));
    pack(&folder).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("llama-orch-1.tar.gz.sha256")).unwrap(), line);
}
