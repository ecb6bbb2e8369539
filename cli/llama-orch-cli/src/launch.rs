//! `launch`: starts a coding agent with this daemon as its model. The agent's own settings are left as they are: what it
//! has to know goes into its environment and its arguments.
//!
//! Rules: ORCH-CLI-20

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use api_types::{Health, Pool};

use crate::args::LaunchArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;

mod agents;

pub use agents::Agent;
use agents::{Model, Setup};

/// Says what would be started, or starts it in place of this program.
///
/// # Errors
/// There is no such model here, its context is too small for the agent, or the agent is not installed.
pub async fn launch(cx: &mut Context, args: &LaunchArgs) -> Result<Exit, Stop> {
    let health = pools::ask(cx).await?;
    let agent = args.agent;
    let model = model(cx, &health, args.model.as_deref()).await?;
    if let Some(failure) = too_small(agent, &model).filter(|_| !args.anyway) {
        return Err(failure.into());
    }
    let token = cx.api.token().ok_or_else(|| cx.api.unauthorised())?.to_owned();
    let setup = Setup::new(agent, cx.api.url(), &token, &model);
    if args.print || agent == Agent::Env {
        cx.ui.print(&setup.to_shell(&args.rest))?;
        return Ok(Exit::Done);
    }
    let program = find(agent)?;
    for (path, text) in setup.files() {
        write(path, text)?;
    }
    cx.ui.note(&format!("{agent} with `{}` at {}", model.name, cx.api.url()));
    // The agent has the terminal and the signals to itself from here on.
    let error =
        Command::new(&program).args(setup.arguments()).args(&args.rest).envs(setup.variables()).exec();
    Err(Failure::new(Exit::Failed, format!("`{}` cannot be started: {error}", program.display())).into())
}

/// The model that is named, or else that of the first pool.
async fn model(cx: &mut Context, health: &Health, name: Option<&str>) -> Result<Model, Stop> {
    let all = health.pools.as_deref().unwrap_or_default();
    let (name, pool) = match name {
        Some(name) => (name.to_owned(), pools::find(health, name)?),
        None => {
            let first = all.first();
            let pool = first.ok_or_else(|| Failure::new(Exit::Refused, "the daemon has no pool"))?;
            (pool.id.clone(), pool)
        }
    };
    let ctx = match context(pool) {
        Some(ctx) => Some(ctx),
        None => context_to_be(cx, pool).await?,
    };
    Ok(Model { name, pool: pool.id.clone(), ctx })
}

/// Tokens of context, once a replica has told.
fn context(pool: &Pool) -> Option<u32> {
    pool.replicas.iter().filter_map(|replica| replica.ctx).max()
}

/// Tokens of context that the pool would have if it were loaded now; nothing where the daemon cannot say.
async fn context_to_be(cx: &mut Context, pool: &Pool) -> Result<Option<u32>, Stop> {
    let asked = tokio::select! {
        biased;
        exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
        asked = cx.api.fit(pool.model_ref.clone(), Some(pool.id.clone())) => asked,
    };
    // A server of its own, or a model that is not fetched yet: the agent finds out.
    Ok(asked.ok().and_then(|fit| fit.placement.iter().filter_map(|placement| placement.ctx).max()))
}

/// Why the agent would not get far.
fn too_small(agent: Agent, model: &Model) -> Option<Failure> {
    let (ctx, least) = (model.ctx?, agent.least_context());
    let message = format!(
        "{agent} needs a context of at least {least} tokens, and the pool `{}` has {ctx}: its instructions and tools \
         alone take {}",
        model.pool,
        agent.instructions()
    );
    let hint = format!(
        "set `ctx: {least}` of the pool in llama-orch.yaml (fewer `slots` make room), or choose another with --model; \
         --anyway starts it all the same"
    );
    (ctx < least).then(|| Failure::new(Exit::Refused, message).hint(hint))
}

/// The program of the agent, in the folders of `PATH`.
fn find(agent: Agent) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(agent.program()));
    candidates.into_iter().find(|program| is_program(program)).ok_or_else(|| {
        let message = format!("`{}` is in no folder of PATH", agent.program());
        Failure::new(Exit::Failed, message).hint(format!("install it: {}", agent.install()))
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Writes a file of ours, which the agent is pointed to.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
    written.map_err(|error| {
        Failure::new(Exit::Failed, format!("`{}` cannot be written: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests;
