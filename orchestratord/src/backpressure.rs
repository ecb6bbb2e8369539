//! Why a task is refused or fails, and what the caller is told: status, code, whether a retry is safe and
//! when. One table for all planes; there is no other place where a reason becomes an answer.
//!
//! Rules: ORCH-ERR-2, ORCH-ERR-3, ORCH-ERR-8, HOME-API-5

use orchestrator_core::{Millis, PoolId, Priority};

/// The least and the most that `Retry-After` says: client libraries ignore anything else.
pub const RETRY_AFTER_RANGE: std::ops::RangeInclusive<u64> = 1..=60;

/// The codes of the error envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The lane is full.
    AdmissionReject,
    /// A newer task took its place in a full lane.
    QueueFullDropLru,
    /// The request is at fault.
    InvalidParams,
    /// The pool is starting.
    PoolUnready,
    /// The pool cannot serve.
    PoolUnavailable,
    /// Every replica is as busy with requests about requests as it may be.
    ReplicaExhausted,
    /// The engine made no progress in the time it has.
    DecodeTimeout,
    /// The engine died with the task in it.
    WorkerReset,
    /// A defect of the daemon.
    Internal,
}

impl Code {
    /// The code on the wire and in `tasks_rejected_total`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdmissionReject => "ADMISSION_REJECT",
            Self::QueueFullDropLru => "QUEUE_FULL_DROP_LRU",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::PoolUnready => "POOL_UNREADY",
            Self::PoolUnavailable => "POOL_UNAVAILABLE",
            Self::ReplicaExhausted => "REPLICA_EXHAUSTED",
            Self::DecodeTimeout => "DECODE_TIMEOUT",
            Self::WorkerReset => "WORKER_RESET",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Why a request is not done, before there is a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is wrong: the text names it, its value and what would be right.
    #[error("{0}")]
    Invalid(String),
    /// No pool has the model or the engine asked for: the text lists those there are.
    #[error("{0}")]
    NoSuchPool(String),
    /// No token, or a wrong one.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The request comes from a web page or names a host that this daemon is not.
    #[error("{0}")]
    Forbidden(String),
    /// What the path names is not here.
    #[error("{0}")]
    NotFound(String),
    /// The path is right and the method is not.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// The body is larger than the limit.
    #[error("the body is over the limit of {limit_bytes} bytes (`limits.body_mb`)")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The lane is full.
    #[error("the {priority} lane of pool `{pool}` is full: its {bound} places are taken or promised")]
    QueueFull {
        /// The pool.
        pool: PoolId,
        /// The lane.
        priority: Priority,
        /// Its bound.
        bound: u32,
        /// Until a place is expected to be free.
        retry_after: Millis,
    },
    /// The pool is starting.
    #[error("pool `{pool}` is starting: {what}")]
    PoolUnready {
        /// The pool.
        pool: PoolId,
        /// What it is at.
        what: String,
        /// Until it is expected to be ready.
        retry_after: Millis,
    },
    /// The pool cannot serve.
    #[error("pool `{pool}` cannot serve: {why}")]
    PoolUnavailable {
        /// The pool.
        pool: PoolId,
        /// Why, in words for the user.
        why: String,
        /// Until the next try.
        retry_after: Millis,
    },
    /// Its model is out of service.
    #[error("the model of pool `{pool}` is retired: `llama-orch activate {pool}` puts it back into service")]
    ModelRetired {
        /// The pool.
        pool: PoolId,
    },
    /// The replica's channel is full.
    #[error("every replica of pool `{pool}` has as much to do as it may")]
    ReplicaExhausted {
        /// The pool.
        pool: PoolId,
        /// Until it is worth trying again.
        retry_after: Millis,
    },
    /// Two engines failed while they measured this task: it may be why.
    #[error("two engines of pool `{pool}` failed while they measured this task, so it is not tried again")]
    EnginesFailed {
        /// The pool.
        pool: PoolId,
    },
    /// The daemon is going down.
    #[error("the daemon is stopping")]
    Stopping,
    /// More streams than the limit.
    #[error("streams are at the limit of {limit} (`limits.streams`)")]
    TooManyStreams {
        /// How many may be open.
        limit: u32,
        /// Until one is expected to be closed.
        retry_after: Millis,
    },
    /// A defect of the daemon. What happened is in the log, not here.
    #[error("the daemon has a defect; its log says more")]
    Internal,
}

/// Why a task that was admitted did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A newer task took its place.
    #[error("the batch lane was full and this was its oldest task (`queue.when_full: drop-lru`)")]
    Evicted {
        /// Until a place is expected to be free.
        retry_after: Millis,
    },
    /// The task asks for what the model cannot do, which showed only at the engine.
    #[error("{0}")]
    Invalid(String),
    /// The engine died with the task in it.
    #[error("the engine died while it decoded this task")]
    WorkerReset {
        /// Until its pool is expected to take the task again.
        retry_after: Millis,
    },
    /// Two engines failed with the task in them, before its first token: it may be why.
    #[error("two engines failed with this task in them, so it is not tried again")]
    EnginesFailed,
    /// The engine made no progress.
    #[error("the engine made no progress for {silent}")]
    DecodeTimeout {
        /// For how long.
        silent: Millis,
        /// Until its pool is expected to take the task again.
        retry_after: Millis,
    },
    /// The engine could not decode.
    #[error("the engine could not decode this task")]
    Decode,
    /// The pool can serve nothing, and will not soon.
    #[error("no engine of this pool can be started: {why}")]
    PoolUnavailable {
        /// Why, in words for the user.
        why: String,
        /// Until the next try.
        retry_after: Millis,
    },
    /// Its model was taken out of service.
    #[error("the model was retired before this task started")]
    ModelRetired,
    /// Its pool was taken out of the configuration.
    #[error("the pool was removed from the configuration before this task started")]
    PoolRemoved,
    /// The daemon stopped first.
    #[error("the daemon stopped before this task was done")]
    Stopping,
}

/// What a caller is told of a refusal or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The HTTP status; of a failure, the one a non-streaming plane answers with.
    pub status: u16,
    /// The code.
    pub code: Code,
    /// Whether the same request may succeed when it is sent again.
    pub retriable: bool,
    /// When to send it again.
    pub retry_after: Option<Millis>,
}

impl Verdict {
    const fn fault(status: u16) -> Self {
        Self { status, code: Code::InvalidParams, retriable: false, retry_after: None }
    }

    fn later(status: u16, code: Code, after: Millis) -> Self {
        Self { status, code, retriable: true, retry_after: Some(after.max(Millis(1))) }
    }

    /// `Retry-After`: whole seconds, rounded up, within [`RETRY_AFTER_RANGE`].
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        let wait = self.retry_after?;
        Some(wait.0.div_ceil(1000).clamp(*RETRY_AFTER_RANGE.start(), *RETRY_AFTER_RANGE.end()))
    }
}

/// Nothing is known of when a stopping daemon is back, or whether it is: the least that clients honour.
const BACK_AFTER_STOP: Millis = Millis(*RETRY_AFTER_RANGE.start() * 1000);

impl Refusal {
    /// What the caller is told.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Invalid(_) | Self::NoSuchPool(_) => Verdict::fault(400),
            Self::Unauthorized(_) => Verdict::fault(401),
            Self::Forbidden(_) => Verdict::fault(403),
            Self::NotFound(_) => Verdict::fault(404),
            Self::MethodNotAllowed(_) => Verdict::fault(405),
            Self::TooLarge { .. } => Verdict::fault(413),
            Self::QueueFull { retry_after, .. } => Verdict::later(429, Code::AdmissionReject, *retry_after),
            Self::PoolUnready { retry_after, .. } => Verdict::later(503, Code::PoolUnready, *retry_after),
            Self::PoolUnavailable { retry_after, .. } => {
                Verdict::later(503, Code::PoolUnavailable, *retry_after)
            }
            Self::ReplicaExhausted { retry_after, .. } => {
                Verdict::later(503, Code::ReplicaExhausted, *retry_after)
            }
            Self::ModelRetired { .. } => {
                Verdict { status: 503, code: Code::PoolUnavailable, retriable: false, retry_after: None }
            }
            Self::EnginesFailed { .. } => {
                Verdict { status: 503, code: Code::WorkerReset, retriable: false, retry_after: None }
            }
            Self::Stopping => Verdict::later(503, Code::PoolUnavailable, BACK_AFTER_STOP),
            Self::TooManyStreams { retry_after, .. } => {
                Verdict::later(503, Code::ReplicaExhausted, *retry_after)
            }
            Self::Internal => {
                Verdict { status: 500, code: Code::Internal, retriable: false, retry_after: None }
            }
        }
    }
}

impl Failure {
    /// What the caller is told.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::PoolUnavailable { retry_after, .. } => {
                Verdict::later(503, Code::PoolUnavailable, *retry_after)
            }
            Self::Evicted { retry_after } => Verdict::later(429, Code::QueueFullDropLru, *retry_after),
            Self::Invalid(_) => Verdict::fault(400),
            Self::WorkerReset { retry_after } => Verdict::later(503, Code::WorkerReset, *retry_after),
            Self::EnginesFailed => {
                Verdict { status: 503, code: Code::WorkerReset, retriable: false, retry_after: None }
            }
            Self::DecodeTimeout { retry_after, .. } => Verdict::later(503, Code::DecodeTimeout, *retry_after),
            Self::ModelRetired | Self::PoolRemoved => {
                Verdict { status: 503, code: Code::PoolUnavailable, retriable: false, retry_after: None }
            }
            Self::Decode => {
                Verdict { status: 500, code: Code::Internal, retriable: false, retry_after: None }
            }
            Self::Stopping => Verdict::later(503, Code::PoolUnavailable, BACK_AFTER_STOP),
        }
    }
}
