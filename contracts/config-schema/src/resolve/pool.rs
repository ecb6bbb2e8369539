//! What a pool is to serve, where, and in front of it which queue.

use std::collections::BTreeSet;

use model_store::ModelRef;
use orchestrator_core::{PoolId, TokenCount};

use super::{Places, engine_options, server, span};
use crate::check::Check;
use crate::config::{
    AUTO, CtxChoice, DeviceChoice, DevicesChoice, Engine, PoolConfig, PoolModel, QueueConfig,
};
use crate::raw;
use crate::tree::{Node, Path};

/// What follows the name of a model in requests for the batch lane.
const BATCH_SUFFIX: &str = "@batch";

/// Sequences a replica decodes at a time where nothing says otherwise.
pub const DEFAULT_SLOTS: u16 = 4;

/// The pools of a file. What is wrong with one is reported, and that pool left out.
pub(super) fn pools(
    file: &raw::File,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Vec<PoolConfig> {
    let mut names = BTreeSet::new();
    let mut taken: BTreeSet<&str> = file.pools.iter().map(|pool| pool.id.as_str()).collect();
    let mut pools = Vec::with_capacity(file.pools.len());
    for (place, written) in file.pools.iter().enumerate() {
        let path = Path::default().key("pools").index(place);
        if !names.insert(&written.id) {
            let message = format!("`{path}.id` is `{}`, the name of a pool before it", written.id);
            check.report(&path.key("id"), message, Some("give each pool a name of its own".to_owned()));
        }
        aliases(&written.aliases, &path.key("aliases"), &mut taken, check);
        let server = server::server(written, &path, root, places, check);
        let urls =
            written.server.as_ref().and_then(|server| server.url.as_ref()).map(|urls| urls.all().len());
        let attached = urls.is_some();
        let by_name = attached || written.engine != Engine::Llamacpp;
        without_effect(written, attached, &path, check);
        loop_tokens(written.defaults.loop_tokens, &path, check);
        if let (Some(urls), Some(replicas)) = (urls, written.replicas)
            && usize::from(replicas) != urls
        {
            let message = format!(
                "`{path}.replicas` is {replicas}, and `{path}.server.url` has {urls}: each server is one replica"
            );
            check.report(&path.key("replicas"), message, Some("leave `replicas` out".to_owned()));
        }
        let model = if by_name {
            Some(PoolModel::Served(written.model.clone()))
        } else {
            model(&written.model, &path.key("model"), root, places, check).map(PoolModel::Reference)
        };
        let id = PoolId::new(written.id.as_str()).expect("the shape has checked the name");
        let devices = devices(written.devices.as_ref(), &path.key("devices"), check);
        let options = engine_options::options(written, &path, root, places, check);
        let Some(model) = model else { continue };
        // A server that is started here sees every card where none is named: one is all there is to start.
        let sees_all = written.server.as_ref().is_some_and(|server| server.command.is_some())
            && (devices == DevicesChoice::Auto || written.server.iter().any(|server| server.port.is_some()));
        let one = sees_all.then_some(1);
        pools.push(PoolConfig {
            id,
            model,
            aliases: written.aliases.clone(),
            defaults: written.defaults.clone(),
            sha256: written.sha256.as_ref().map(|sum| sum.to_ascii_lowercase()),
            engine: written.engine,
            server,
            ctx: written.ctx.map(ctx),
            fit_ctx: written.fit_ctx,
            slots: written.slots.unwrap_or(DEFAULT_SLOTS),
            threads: written.threads,
            devices,
            gpu_layers: written.gpu_layers,
            options,
            replicas: urls.and_then(|urls| u16::try_from(urls).ok()).or(written.replicas).or(one),
            preload: written.preload,
            idle_unload: written.idle_unload_s.map(span),
            queue: queue(&file.queue, &written.queue),
        });
    }
    pools
}

/// Reports names that would not say which pool is meant, or which lane. `taken` are those of other pools.
fn aliases<'f>(aliases: &'f [String], path: &Path, taken: &mut BTreeSet<&'f str>, check: &mut Check<'_>) {
    for (place, alias) in aliases.iter().enumerate() {
        let path = path.index(place);
        if !taken.insert(alias) {
            let message = format!("`{path}` is `{alias}`, the name of another pool");
            check.report(&path, message, Some("give each pool names of its own".to_owned()));
        }
        if alias.ends_with(BATCH_SUFFIX) || alias.trim() != alias || alias.contains(char::is_control) {
            let message = format!("`{path}` is `{alias}`, which no request can name");
            let hint = format!("use a name without `{BATCH_SUFFIX}` and without space at its ends");
            check.report(&path, message, Some(hint));
        }
    }
}

/// Reports what was asked for and would change nothing: it would be a promise that nobody keeps.
fn without_effect(pool: &raw::Pool, attached: bool, path: &Path, check: &mut Check<'_>) {
    let of_a_program_of_ours = [
        ("ctx", pool.ctx.is_some()),
        ("threads", pool.threads.is_some()),
        ("gpu_layers", pool.gpu_layers.is_some()),
        ("devices", pool.devices.is_some()),
        ("idle_unload_s", pool.idle_unload_s.is_some()),
    ];
    if attached {
        for (option, _) in of_a_program_of_ours.iter().filter(|(_, given)| *given) {
            let message = format!(
                "`{path}.{option}` has no effect with `server.url`: that server decides it, and is started \
                 and ended by somebody else"
            );
            let hint = format!("leave `{option}` out, or start the server with `server.command`");
            check.report(&path.key(option), message, Some(hint));
        }
    }
    if pool.server.is_some() {
        let ours = engine_options::of_the_built_in_engine(pool);
        for (option, _) in ours.iter().filter(|(_, given)| *given) {
            let message = format!("`{path}.{option}` has no effect with `server`: that program decides it");
            let hint = match *option {
                "template_kwargs" => "leave it out: the API of this engine has no field for it".to_owned(),
                _ => format!("leave `{option}` out, and say it in the words of that program"),
            };
            check.report(&path.key(option), message, Some(hint));
        }
    }
    if pool.sha256.is_some() && (attached || pool.engine != Engine::Llamacpp) {
        let message = format!(
            "`{path}.sha256` has no effect here: `{}` is a name at the server, of which no file is known",
            pool.model
        );
        check.report(&path.key("sha256"), message, Some("leave it out".to_owned()));
    }
    if pool.fit_ctx && pool.server.is_some() {
        let message = format!(
            "`{path}.fit_ctx` has no effect with `server`: only the built-in engine's memory is reckoned"
        );
        check.report(&path.key("fit_ctx"), message, Some("leave it out, and set `ctx`".to_owned()));
    }
}

const fn ctx(written: raw::Ctx) -> CtxChoice {
    match written {
        raw::Ctx::Tokens(tokens) => CtxChoice::Tokens(TokenCount(tokens)),
        raw::Ctx::Word(raw::CtxWord::Max) => CtxChoice::Max,
    }
}

/// The fewest tokens of a loop. Fewer are in answers that are right.
const LOOP_TOKENS_LEAST: u32 = 64;

fn loop_tokens(written: Option<u32>, path: &Path, check: &mut Check<'_>) {
    let Some(tokens) = written.filter(|tokens| (1..LOOP_TOKENS_LEAST).contains(tokens)) else { return };
    let path = path.key("defaults").key("loop_tokens");
    let message = format!("`{path}` is {tokens}; it must be 0 or at least {LOOP_TOKENS_LEAST}");
    let hint = "answers that are right repeat a few tokens; 0 ends none for repeating itself";
    check.report(&path, message, Some(hint.to_owned()));
}

fn devices(written: Option<&raw::OneOrMany>, path: &Path, check: &mut Check<'_>) -> DevicesChoice {
    let parse = |name: &String| DeviceChoice::parse(name).expect("the shape has checked the device");
    let names = match written {
        None => return DevicesChoice::Auto,
        Some(raw::OneOrMany::One(name)) if name == AUTO => return DevicesChoice::Auto,
        Some(raw::OneOrMany::One(name)) => std::slice::from_ref(name),
        Some(raw::OneOrMany::Many(names)) => names,
    };
    let mut devices = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let device = parse(name);
        if devices.contains(&device) {
            let path = path.index(place);
            let hint = "name each device once; `replicas` says how many copies there are";
            let message = format!("`{path}` is `{name}`, a device that stands before it");
            check.report(&path, message, Some(hint.to_owned()));
        }
        devices.push(device);
    }
    DevicesChoice::Listed(devices)
}

fn model(
    text: &str,
    path: &Path,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Option<ModelRef> {
    match ModelRef::parse(text) {
        Ok(ModelRef::File(file)) => places.absolute(&file, path, root, check).map(ModelRef::File),
        Ok(model) => Some(model),
        Err(invalid) => {
            let message =
                format!("`{path}` is `{}`, which is not a model: {}", invalid.given, invalid.reason);
            check.report(path, message, Some(ModelRef::FORMS.to_owned()));
            None
        }
    }
}

fn queue(common: &raw::Queue, own: &raw::QueueOverride) -> QueueConfig {
    QueueConfig {
        interactive: own.interactive.unwrap_or(common.interactive),
        batch: own.batch.unwrap_or(common.batch),
        when_full: own.when_full.unwrap_or(common.when_full),
        batch_max_wait: span(own.batch_max_wait_s.unwrap_or(common.batch_max_wait_s)),
        outage_wait: span(own.outage_wait_s.unwrap_or(common.outage_wait_s)),
        batch_one_in: own.batch_one_in.unwrap_or(common.batch_one_in),
    }
}
