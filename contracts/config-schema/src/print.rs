//! Writing a resolved configuration back as a file: what `--print-config` shows. Reading it again gives
//! the same configuration, but for the token and the servers' keys, which are not shown.
//!
//! Rules: ORCH-ENG-8, ORCH-CONF-6

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{
    AUTO, ChatTemplate, Config, CtxChoice, DevicesChoice, EngineOptions, FlashAttention, KvType, LoraAdapter,
    PoolConfig, QueueConfig, Rope, ServerConfig, ServerSource,
};
use crate::raw;

const BYTES_PER_MB: u64 = 1024 * 1024;
const BYTES_PER_KB: u64 = 1024;

impl Config {
    /// The configuration as YAML, every option written out. A comment stands for each secret.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let token = self.access.token.iter().map(|_| "token".to_owned());
        let has_key = |pool: &PoolConfig| pool.server.as_ref().is_some_and(|server| server.api_key.is_some());
        let keys = self.pools.iter().enumerate().filter(|(_, pool)| has_key(pool));
        let keys = keys.map(|(place, _)| format!("pools[{place}].server.api_key"));
        let secrets: String =
            token.chain(keys).map(|option| format!("# {option}: set, not shown\n")).collect();
        let yaml = serde_saphyr::to_string(&self.to_file()).expect("a configuration is YAML");
        secrets + &yaml
    }

    pub(crate) fn to_file(&self) -> raw::File {
        raw::File {
            listen: self.access.listen.to_string(),
            allow_non_loopback: self.access.allow_non_loopback,
            allowed_hosts: self.access.allowed_hosts.clone(),
            allowed_origins: self.access.allowed_origins.clone(),
            image_hosts: self.access.image_hosts.clone(),
            token: None,
            ollama: raw::Ollama {
                listen: self.ollama.listen.map(|listen| listen.to_string()),
                require_token: self.ollama.require_token,
            },
            models_dir: Some(self.models_dir.display().to_string()),
            queue: raw::Queue::default(),
            pools: self.pools.iter().map(pool).collect(),
            sampler_profiles: self.sampler_profiles.clone(),
            stream: raw::Stream {
                keep_finished_s: seconds(self.stream.keep_finished),
                keep_finished_tasks: self.stream.keep_finished_tasks,
                keep_finished_mb: units(self.stream.keep_finished_bytes, BYTES_PER_MB),
                keepalive_s: seconds(self.stream.keepalive),
            },
            sessions: raw::Sessions { ttl_s: seconds(self.sessions.ttl), max: self.sessions.max },
            limits: raw::Limits {
                body_mb: units(self.limits.body_bytes, BYTES_PER_MB),
                connections: self.limits.connections,
                streams: self.limits.streams,
                header_timeout_s: seconds(self.limits.header_timeout),
                authentication_timeout_s: seconds(self.limits.authentication_timeout),
                write_timeout_s: seconds(self.limits.write_timeout),
                header_kb: units(self.limits.header_bytes, BYTES_PER_KB),
            },
            shutdown: raw::Shutdown { grace_s: seconds(self.shutdown_grace) },
            worker: raw::Worker {
                load_timeout_s: seconds(self.worker.load_timeout),
                memory_margin_mb: units(self.worker.memory_margin_bytes, BYTES_PER_MB),
                hang_after_s: seconds(self.worker.hang_after),
                restart: raw::Restart {
                    min_ms: u64::try_from(self.worker.restart_min.as_millis()).unwrap_or(u64::MAX),
                    max_s: seconds(self.worker.restart_max),
                    waiting_max_s: seconds(self.worker.restart_waiting_max),
                },
            },
            log: raw::Log {
                level: self.log.level,
                format: self.log.format,
                file: self.log.file.as_ref().map(|file| file.display().to_string()),
            },
        }
    }
}

fn pool(pool: &PoolConfig) -> raw::Pool {
    let attached = pool.server.as_ref().is_some_and(|server| matches!(server.source, ServerSource::Urls(_)));
    let slots = match &pool.server {
        Some(server) => server.slots,
        None => Some(pool.slots),
    };
    let options = &pool.options;
    raw::Pool {
        id: pool.id.as_str().to_owned(),
        model: pool.model.to_string(),
        aliases: pool.aliases.clone(),
        defaults: pool.defaults.clone(),
        sha256: pool.sha256.clone(),
        engine: pool.engine,
        server: pool.server.as_ref().map(server),
        ctx: pool.ctx.map(ctx),
        fit_ctx: pool.fit_ctx,
        slots,
        threads: pool.threads,
        devices: (!attached).then(|| devices(&pool.devices)),
        gpu_layers: pool.gpu_layers,
        experts_on_cpu: options.experts_on_cpu,
        kv_type: kv_type(options),
        kv_cache: options.kv_ram_mb.map(|ram_mb| raw::KvCache { ram_mb: Some(ram_mb) }),
        flash_attention: (options.flash_attention != FlashAttention::Auto).then_some(options.flash_attention),
        batch: options.batch,
        ubatch: options.ubatch,
        threads_batch: options.threads_batch,
        mmap: options.mmap,
        mlock: options.mlock,
        rope: (options.rope != Rope::default()).then_some(options.rope),
        pooling: options.pooling,
        lora: options.lora.iter().map(lora).collect(),
        chat_template: options.chat_template.as_ref().map(ChatTemplate::name),
        template_kwargs: options.template_kwargs.clone(),
        replicas: pool.replicas,
        preload: pool.preload,
        idle_unload_s: pool.idle_unload.map(seconds),
        queue: queue(&pool.queue),
    }
}

/// The types of the KV cache; nothing where they are the default.
fn kv_type(options: &EngineOptions) -> Option<raw::KvTypes> {
    match (options.kv_type_k, options.kv_type_v) {
        (KvType::F16, KvType::F16) => None,
        (k, v) if k == v => Some(raw::KvTypes::Both(k)),
        (k, v) => Some(raw::KvTypes::Each(raw::KvTypeOfEach { k, v })),
    }
}

fn lora(adapter: &LoraAdapter) -> raw::Lora {
    raw::Lora { file: adapter.file.display().to_string(), scale: adapter.scale }
}

const fn ctx(ctx: CtxChoice) -> raw::Ctx {
    match ctx {
        CtxChoice::Tokens(tokens) => raw::Ctx::Tokens(tokens.0),
        CtxChoice::Max => raw::Ctx::Word(raw::CtxWord::Max),
    }
}

fn devices(devices: &DevicesChoice) -> raw::OneOrMany {
    match devices {
        DevicesChoice::Auto => raw::OneOrMany::One(AUTO.to_owned()),
        DevicesChoice::Listed(devices) => {
            raw::OneOrMany::Many(devices.iter().map(ToString::to_string).collect())
        }
    }
}

fn server(server: &ServerConfig) -> raw::Server {
    let (url, command, env, port) = match server.source.clone() {
        ServerSource::Urls(urls) => {
            let url = match <[String; 1]>::try_from(urls) {
                Ok([url]) => raw::Urls::One(url),
                Err(urls) => raw::Urls::Many(urls),
            };
            (Some(url), None, BTreeMap::new(), None)
        }
        ServerSource::Command { command, env, port } => (None, Some(command), env, port),
    };
    raw::Server {
        url,
        command,
        port,
        env,
        stop_command: (!server.stop_command.is_empty()).then(|| server.stop_command.clone()),
        tls: server.ca_file.as_ref().map(|file| raw::Tls { ca_file: Some(file.display().to_string()) }),
        api_key: None,
        start_timeout_s: seconds(server.start_timeout),
        silence_timeout_s: seconds(server.silence_timeout),
    }
}

fn queue(queue: &QueueConfig) -> raw::QueueOverride {
    raw::QueueOverride {
        interactive: Some(queue.interactive),
        batch: Some(queue.batch),
        when_full: Some(queue.when_full),
        batch_max_wait_s: Some(seconds(queue.batch_max_wait)),
        outage_wait_s: Some(seconds(queue.outage_wait)),
        batch_one_in: Some(queue.batch_one_in),
    }
}

fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

fn units(bytes: u64, unit: u64) -> u32 {
    u32::try_from(bytes / unit).unwrap_or(u32::MAX)
}
