//! File descriptors: each connection takes one, and the system's usual limit of 1024 is below the default of
//! `limits.connections`.
//!
//! Rules: ORCH-INST-9

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that is asked for. Engines inherit the limit, and there are programs that close every descriptor up to it
/// one by one; some systems have a hard limit of a thousand million.
const MOST: u64 = 1 << 20;

/// Descriptors beside those of connections: channels to workers, connections to attached engines, files, models
/// being fetched.
const RESERVED: u64 = 256;

/// Raises the limit of open files to the hard one and logs it beside the connections that it has to hold.
pub fn raise_limit(connections: u32) {
    let before = getrlimit(Resource::Nofile);
    let wanted = before.maximum.unwrap_or(MOST).min(MOST).max(before.current.unwrap_or(MOST));
    if before.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, wanted, "cannot raise the limit of open files");
        }
    }
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if suffices(open_files, connections) {
        tracing::info!(open_files, connections, "limit of open files");
    } else {
        tracing::warn!(
            open_files,
            connections,
            "too few open files for `limits.connections`: raise `LimitNOFILE=` of the unit or `ulimit -Hn`, or lower \
             `limits.connections` to {}",
            open_files.saturating_sub(RESERVED).max(1)
        );
    }
}

fn suffices(open_files: u64, connections: u32) -> bool {
    open_files >= u64::from(connections) + RESERVED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-INST-9
    #[test]
    fn a_limit_holds_the_connections_and_what_the_daemon_needs_beside_them() {
        assert!(suffices(4096 + RESERVED, 4096));
        assert!(!suffices(4095 + RESERVED, 4096));
        assert!(!suffices(1024, 4096));
    }
}
