//! Replicas and the machine they run on: each replica is a supervised unit with one visible state, started
//! through an adapter's factory, tested before it may serve, restarted with backoff when it dies; and the
//! devices, with their readings. It decides nothing about tasks: it says what became of an engine, and the
//! driver does the rest.
//!
//! ```text
//! driver ── Supervisor::spawn ──► [ task: start ► self-test ► ready ► gone ► back off ► start … ]
//!    ▲                                 │
//!    └──── ReplicaEvent (bounded) ─────┘        Telemetry: own thread ──► watch<Snapshot>
//! ```

mod account;
pub mod backoff;
pub mod devices;
pub mod fit;
pub mod fleet;
pub mod ledger;
pub mod self_test;
pub mod state;
pub mod supervisor;
mod tasks;
pub mod telemetry;

pub use account::MemoryAccount;
pub use backoff::{Breaker, Demand, RestartPolicy};
pub use devices::{
    DeviceProbe, DeviceReading, NoDevices, ProcessReading, model_memory, probe, process_memory,
};
pub use fit::{Fit, FitQuery, Need, Placement};
pub use fleet::{Fleet, Outlet, Passed, ReloadCandidate};
pub use ledger::{Holding, Ledger, LedgerView, Reservation};
pub use self_test::{SelfTest, SelfTestError, SelfTestPolicy};
pub use state::{DownReason, ReplicaEvent, ReplicaEventKind, ReplicaState};
pub use supervisor::{EVENTS_BOUND, ReplicaContext, ReplicaPolicy, Supervisor, SupervisorHandle};
pub use telemetry::{Snapshot, Telemetry};
