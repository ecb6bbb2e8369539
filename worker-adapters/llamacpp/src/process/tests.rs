use std::ffi::OsStr;
use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn a_worker_is_not_handed_the_daemons_secrets() {
    let (_, theirs) = UnixStream::pair().unwrap();
    let command = command(Path::new("worker"), &[], OwnedFd::from(theirs), &Device::Cpu);
    for secret in ["LLAMA_ORCH_TOKEN", "HF_TOKEN"] {
        let removed = command.as_std().get_envs().any(|var| var == (OsStr::new(secret), None));
        assert!(removed, "{secret} would be inherited");
    }
}
