//! Says whether this build is for the machine's own instruction set (`-C target-cpu=native`): llama.cpp's
//! build looks at the same flag.

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rustc-check-cfg=cfg(worker_native_build)");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if flags.contains("target-cpu=native") {
        println!("cargo::rustc-cfg=worker_native_build");
    }
}
