//! The worker alone, for tests and benches; the daemon runs it as a hidden subcommand of its own.

fn main() -> std::process::ExitCode {
    worker_llamacpp::run()
}
