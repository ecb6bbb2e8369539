//! The engine that is built into this executable, or the word that there is none.

use std::sync::Arc;

use adapter_api::EngineFactory;

/// What the engine of a build can compute on beside the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    None,
    /// NVIDIA cards, each by its UUID.
    Nvidia,
    /// Whatever its back end finds: one device, which cannot be told apart from another.
    Own,
}

/// What this build can compute on beside the processor.
#[must_use]
pub const fn offload() -> Offload {
    if cfg!(feature = "cuda") {
        Offload::Nvidia
    } else if cfg!(any(feature = "vulkan", feature = "metal", feature = "rocm")) {
        Offload::Own
    } else {
        Offload::None
    }
}

/// The hidden subcommand that a replica's process runs.
#[cfg(feature = "llamacpp")]
const WORKER: &str = "worker";

/// What starts the built-in engine: this executable again, as a worker.
///
/// # Errors
/// When the executable's own path cannot be told.
#[cfg(feature = "llamacpp")]
pub fn built_in() -> std::io::Result<Arc<dyn EngineFactory>> {
    let program = std::env::current_exe()?;
    Ok(Arc::new(adapter_llamacpp::LlamacppFactory::new(program, vec![WORKER.into()])))
}

/// How the built-in engine was compiled.
#[cfg(feature = "llamacpp")]
#[must_use]
pub fn build() -> String {
    worker_llamacpp::compiled_for()
}

/// What says that this executable has no engine of its own.
///
/// # Errors
/// Never: the signature is that of a build with an engine.
#[cfg(not(feature = "llamacpp"))]
pub fn built_in() -> std::io::Result<Arc<dyn EngineFactory>> {
    Ok(Arc::new(left_out::LeftOut))
}

/// How the built-in engine was compiled.
#[cfg(not(feature = "llamacpp"))]
#[must_use]
pub fn build() -> String {
    "none".to_owned()
}

#[cfg(not(feature = "llamacpp"))]
mod left_out {
    use std::sync::Arc;

    use adapter_api::{Engine, EngineFactory, EngineKind, LoadProgress, ReplicaSpec, StartError};
    use futures_util::future::{BoxFuture, FutureExt, ready};

    /// Starts nothing.
    pub struct LeftOut;

    impl EngineFactory for LeftOut {
        fn kind(&self) -> EngineKind {
            EngineKind::Llamacpp
        }

        fn start(
            &self,
            _spec: ReplicaSpec,
            _progress: LoadProgress,
        ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
            let why = "this `orchestratord` was built without its engine: build it with the feature `llamacpp`, \
                       which is on by default";
            ready(Err(StartError::Model(why.to_owned()))).boxed()
        }
    }
}
