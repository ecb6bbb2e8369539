//! Fetches as they are listed, with files that are here already and hosts that do not answer.

use std::net::TcpListener;
use std::time::Duration;

use model_store::Env;

use super::*;

struct Folder {
    folder: Arc<ModelFolder>,
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("models"), Env::default());
        Self { folder: ModelFolder::new(Arc::new(store)), dir }
    }

    /// A model at a host that takes connections and says nothing.
    fn silent(&self, name: &str) -> (TcpListener, ModelRef) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, ModelRef::parse(&format!("http://{address}/{name}.gguf")).unwrap())
    }

    async fn until(&self, id: u64, wanted: impl Fn(&Fetch) -> bool) -> Fetch {
        let waiting = async {
            loop {
                let found = self.folder.fetches().into_iter().find(|fetch| fetch.id == id && wanted(fetch));
                match found {
                    Some(found) => return found,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes to that")
    }
}

/// ORCH-MODEL-14
#[tokio::test]
async fn a_fetch_is_listed_once_canceled_and_taken_off_the_list() {
    let folder = Folder::new();
    let (_host, model) = folder.silent("a");
    let id = folder.folder.fetch(model.clone(), None).unwrap();
    assert_eq!(folder.folder.fetch(model.clone(), None), Ok(id), "it is being fetched already");
    assert!(folder.folder.cancel(id));
    assert_eq!(folder.until(id, |_| true).await.state, FetchState::Canceled);
    let next = folder.folder.fetch(model, None).unwrap();
    assert_ne!(next, id);
    assert_eq!(folder.folder.fetches().len(), 1, "another try takes the place of the one that is over");
    assert!(folder.folder.cancel(next) && folder.folder.cancel(next));
    assert!(folder.folder.fetches().is_empty() && !folder.folder.cancel(next));
}

/// ORCH-MODEL-14
#[tokio::test]
async fn a_fetch_that_fails_says_why_and_a_full_list_takes_no_more() {
    let folder = Folder::new();
    let (host, model) = folder.silent("gone");
    drop(host);
    let (_quiet, other) = folder.silent("quiet");
    for n in 0..FETCHES_MAX {
        folder.folder.fetch(other.clone(), Some(format!("{n:064x}"))).unwrap();
    }
    assert_eq!(folder.folder.fetch(model.clone(), None), Err(ListFull));
    for fetch in folder.folder.fetches() {
        folder.folder.cancel(fetch.id);
    }
    let id = folder.folder.fetch(model, None).unwrap();
    assert_eq!(folder.folder.fetches().len(), FETCHES_MAX);
    let failed = folder.until(id, |fetch| fetch.state == FetchState::Failed).await;
    let why = failed.message.unwrap();
    assert!(!why.is_empty() && !why.contains(&folder.dir.path().display().to_string()), "{why}");
}

/// ORCH-CON-13
#[tokio::test]
async fn a_file_is_listed_with_the_pools_that_serve_it() {
    let folder = Folder::new();
    let models = folder.dir.path().join("models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::write(models.join("mine.gguf"), "GGUF").unwrap();
    std::fs::write(models.join("other.gguf"), "GGUF!").unwrap();
    let reference = format!("file:{}", models.join("mine.gguf").display());
    let files = folder
        .folder
        .files(&[("p".to_owned(), reference), ("q".to_owned(), "served by name".to_owned())])
        .unwrap();
    let found: Vec<_> = files.iter().map(|stored| (stored.file.bytes, stored.pools.as_slice())).collect();
    assert_eq!(found, [(4, ["p".to_owned()].as_slice()), (5, &[])]);
}
