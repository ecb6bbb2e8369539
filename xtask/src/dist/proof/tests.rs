use super::*;
use crate::dist::pack;

/// ORCH-INST-6
#[tokio::test]
async fn an_archive_with_a_changed_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("llama-orch-1");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "abc").unwrap();
    std::fs::write(folder.join(SUMS), sums(&folder).unwrap()).unwrap();
    let archive = pack(&folder).await.unwrap();
    let unpacked = unpack(&archive, "llama-orch-1", &dir.path().join("empty")).await.unwrap();
    assert_eq!(std::fs::read_to_string(unpacked.join("file")).unwrap(), "abc");
    assert!(unpacked.join(SUMS).is_file());

    std::fs::write(folder.join("file"), "abd").unwrap();
    let archive = pack(&folder).await.unwrap();
    let why = unpack(&archive, "llama-orch-1", &dir.path().join("empty")).await.unwrap_err().to_string();
    assert!(why.contains("another checksum"), "{why}");
}
