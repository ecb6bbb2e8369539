use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::net::UnixStream;

use tracing::{Event, Level, Metadata, Subscriber, span, subscriber::Interest};

use super::*;

/// What a worker's environment differs in from the daemon's; nothing where a variable is taken away.
fn environment(device: &Device) -> HashMap<String, Option<String>> {
    let (_, theirs) = UnixStream::pair().unwrap();
    let command = command(Path::new("worker"), &[], OwnedFd::from(theirs), device);
    let text = |text: &OsStr| text.to_str().unwrap().to_owned();
    command.as_std().get_envs().map(|(name, value)| (text(name), value.map(text))).collect()
}

#[test]
fn a_worker_is_not_handed_the_daemons_secrets() {
    let environment = environment(&Device::Cpu);
    for secret in ["LLAMA_ORCH_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        assert_eq!(environment.get(secret), Some(&None), "{secret} would be inherited");
    }
}

/// ORCH-DEV-2
#[test]
fn a_worker_sees_its_own_card_and_no_other() {
    let card = |uuid: &str| environment(&Device::Gpu { uuid: uuid.to_owned(), index: 1 });
    let named = card("GPU-1");
    for variable in ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"] {
        assert_eq!(named[variable].as_deref(), Some("GPU-1"));
        assert_eq!(environment(&Device::Cpu)[variable].as_deref(), Some("-1"));
        // An empty list would hide every card.
        assert!(!card("").contains_key(variable), "{variable}");
    }
}

#[test]
fn threads_that_wait_do_not_burn_the_cores_unless_the_user_says_so() {
    assert_eq!(spin(|_| false), Some(("GOMP_SPINCOUNT", "500")));
    for own in ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"] {
        assert_eq!(spin(|name| name == own), None, "{own} is the user's");
    }
    if spin(|name| std::env::var_os(name).is_some()).is_some() {
        assert_eq!(environment(&Device::Cpu)["GOMP_SPINCOUNT"].as_deref(), Some("500"));
    }
}

/// A log that takes lines of workers up to a level.
struct LogAt(Level);

impl Subscriber for LogAt {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, line: &Metadata<'_>) -> bool {
        line.target() == "worker" && *line.level() <= self.0
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_worker_writes_what_the_daemons_log_takes_and_always_its_last_words() {
    for (level, told) in
        [(Level::TRACE, "debug"), (Level::DEBUG, "debug"), (Level::INFO, "info"), (Level::ERROR, "info")]
    {
        let environment = tracing::subscriber::with_default(LogAt(level), || environment(&Device::Cpu));
        assert_eq!(environment["LLAMA_ORCH_WORKER_LOG"].as_deref(), Some(told), "at {level}");
    }
}
