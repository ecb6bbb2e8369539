//! The defaults: what holds where the file, the environment and the command line say nothing.
//!
//! Rules: HOME-BIND-1

use std::collections::BTreeMap;

use super::{
    Engine, File, Limits, Log, Ollama, Pool, PoolDefaults, Queue, QueueOverride, ReasoningDefaults, Restart,
    SamplerProfile, Server, Sessions, Shutdown, Stream, WhenFull, Worker,
};

impl Default for File {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:6173".to_owned(),
            allow_non_loopback: false,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            image_hosts: Vec::new(),
            token: None,
            ollama: Ollama::default(),
            models_dir: None,
            queue: Queue::default(),
            pools: vec![Pool::default()],
            sampler_profiles: BTreeMap::new(),
            stream: Stream::default(),
            sessions: Sessions::default(),
            limits: Limits::default(),
            shutdown: Shutdown::default(),
            worker: Worker::default(),
            log: Log::default(),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            interactive: 256,
            batch: 1024,
            when_full: WhenFull::Reject,
            batch_max_wait_s: 30.0,
            outage_wait_s: 120.0,
            batch_one_in: 8,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            id: "default".to_owned(),
            model: "starter".to_owned(),
            aliases: Vec::new(),
            defaults: PoolDefaults::default(),
            sha256: None,
            engine: Engine::Llamacpp,
            server: None,
            ctx: None,
            fit_ctx: false,
            slots: None,
            threads: None,
            devices: None,
            gpu_layers: None,
            experts_on_cpu: None,
            kv_type: None,
            kv_cache: None,
            flash_attention: None,
            batch: None,
            ubatch: None,
            threads_batch: None,
            mmap: None,
            mlock: false,
            rope: None,
            pooling: None,
            lora: Vec::new(),
            chat_template: None,
            template_kwargs: BTreeMap::new(),
            replicas: None,
            preload: true,
            idle_unload_s: None,
            queue: QueueOverride::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            url: None,
            command: None,
            port: None,
            env: BTreeMap::new(),
            stop_command: None,
            tls: None,
            api_key: None,
            start_timeout_s: 900.0,
            silence_timeout_s: 120.0,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { keep_finished_s: 600.0, keep_finished_tasks: 10_000, keep_finished_mb: 256, keepalive_s: 15.0 }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { ttl_s: 3600.0, max: 1024 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_mb: 16,
            connections: 4096,
            streams: 2048,
            header_timeout_s: 10.0,
            authentication_timeout_s: 20.0,
            write_timeout_s: 60.0,
            header_kb: 64,
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace_s: 30.0 }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self { load_timeout_s: 300.0, memory_margin_mb: 512, hang_after_s: 30.0, restart: Restart::default() }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self { min_ms: 500, max_s: 60.0, waiting_max_s: 3.0 }
    }
}

impl Default for PoolDefaults {
    fn default() -> Self {
        Self {
            max_tokens: 2048,
            loop_tokens: None,
            sampling: SamplerProfile::default(),
            system_prompt: None,
            reasoning: ReasoningDefaults::default(),
        }
    }
}
