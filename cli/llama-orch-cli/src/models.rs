//! `models`: which there are. The files are those of the models folder of this machine; who serves them is
//! asked of the daemon.
//!
//! Rules: ORCH-CLI-6

mod list;
pub mod names;
mod pull;
mod remove;
mod search;
mod show;
mod stay;

use std::path::{Path, PathBuf};

use api_types::{Health, Pool};
use config_schema::{Config, LoadRequest, PoolConfig, PoolModel, load};
use model_store::{Env, ModelRef, Store};

use self::stay::Stay;
use crate::args::{ModelsArgs, ModelsCommand};
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;

/// Does what is asked about models.
///
/// # Errors
/// What each command says of itself.
pub async fn models(cx: &mut Context, args: ModelsArgs) -> Result<Exit, Stop> {
    command(cx, args.command.unwrap_or(ModelsCommand::List(args.list))).await
}

/// Does one of the commands.
///
/// # Errors
/// What each says of itself.
pub async fn command(cx: &mut Context, command: ModelsCommand) -> Result<Exit, Stop> {
    match command {
        ModelsCommand::List(args) => list::list(cx, &args).await,
        ModelsCommand::Pull(args) => pull::pull(cx, args).await,
        ModelsCommand::Search(args) => search::search(cx, args).await,
        ModelsCommand::Show(args) => show::show(cx, &args).await,
        ModelsCommand::Remove(args) => remove::remove(cx, &args).await,
        ModelsCommand::Pin(args) => stay::change(cx, &args, Stay::Pin).await,
        ModelsCommand::Unpin(args) => stay::change(cx, &args, Stay::Unpin).await,
        ModelsCommand::Unload(args) => stay::change(cx, &args, Stay::Unload).await,
    }
}

/// The models of this machine, as the daemon's configuration places them.
struct Shelf {
    store: Store,
    config: Config,
}

impl Shelf {
    /// The one that a daemon started here would use.
    fn find() -> Result<Self, Failure> {
        let request = LoadRequest::of_process(None, Vec::new())
            .map_err(|error| Failure::new(Exit::Failed, format!("the working folder is gone: {error}")))?;
        let loaded = load(&request).map_err(|error| {
            let failure = Failure::of_text(Exit::Usage, &format!("the configuration is wrong: {error}"));
            let check = "`orchestratord check-config` checks it";
            let hint =
                failure.hint.as_ref().map_or_else(|| check.to_owned(), |hint| format!("{hint}\n{check}"));
            failure.hint(hint)
        })?;
        let memory = pool_manager::model_memory(&pool_manager::probe().read());
        let store = Store::new(loaded.config.models_dir.clone(), Env::of_process()).with_memory(memory);
        Ok(Self { store, config: loaded.config })
    }

    /// The model that somebody means: a reference, or a pool of the configuration.
    fn reference(&self, name: &str) -> Result<ModelRef, Failure> {
        let invalid = match ModelRef::parse(name) {
            Ok(model) => return Ok(model),
            Err(invalid) => invalid,
        };
        let pool = self.config.pools.iter().find(|pool| pool.id.as_str() == name);
        match pool.map(|pool| &pool.model) {
            Some(PoolModel::Reference(model)) => Ok(model.clone()),
            Some(PoolModel::Served(model)) => {
                let message = format!("pool `{name}` is served by a server of its own, which has `{model}`");
                Err(Failure::new(Exit::Usage, message).hint("there is no file of it here"))
            }
            None => {
                let failure = Failure::of_text(Exit::Usage, &invalid.to_string());
                let hints: Vec<String> = names::hint(name).into_iter().chain(failure.hint.clone()).collect();
                Err(failure.hint(hints.join("\n")))
            }
        }
    }

    /// The checksum that the configuration has for a model.
    fn checksum(&self, model: &ModelRef) -> Option<String> {
        let has_it = |pool: &&PoolConfig| pool.model == PoolModel::Reference(model.clone());
        self.config.pools.iter().filter(has_it).find_map(|pool| pool.sha256.clone())
    }

    /// The pools of the daemon that serve a file, or are about to.
    fn users<'a>(&self, health: &'a Health, path: &Path) -> Vec<&'a Pool> {
        let file = canonical(path);
        let is_file = |model: &str| {
            let model = ModelRef::parse(model).ok();
            model.is_some_and(|model| {
                let found = self.store.locate(&model).unwrap_or_else(|| self.store.place(&model));
                // Which version of a file a pool serves, only its checksum tells.
                canonical(&found) == file || self.store.may_be(&model, path)
            })
        };
        let pools = health.pools.iter().flatten();
        pools
            .filter(|pool| is_file(&pool.model_ref) || pool.reloading_to.as_deref().is_some_and(is_file))
            .collect()
    }
}

fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// What the daemon says, or why it says nothing. Files can be looked at without it.
enum Daemon {
    Asked(Box<Health>),
    Silent(Failure),
}

impl Daemon {
    /// Asks it.
    ///
    /// # Errors
    /// A signal came.
    async fn ask(cx: &mut Context) -> Result<Self, Stop> {
        match pools::ask(cx).await {
            Ok(health) => Ok(Self::Asked(Box::new(health))),
            Err(Stop::Failure(failure)) => Ok(Self::Silent(failure)),
            Err(stop) => Err(stop),
        }
    }

    fn health(&self) -> Option<&Health> {
        match self {
            Self::Asked(health) => Some(health),
            Self::Silent(_) => None,
        }
    }
}
