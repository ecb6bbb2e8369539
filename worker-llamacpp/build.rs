//! Says whether this build is for the machine's own instruction set (`-C target-cpu=native`): llama.cpp's
//! build looks at the same flag. Compiles the one call that needs C++.

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rustc-check-cfg=cfg(worker_native_build)");
    println!("cargo::rerun-if-changed=src/memory.cpp");
    // The runtime of C++ comes with llama.cpp, which links it as its features say.
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .cpp_link_stdlib(None)
        .file("src/memory.cpp")
        .compile("worker_memory");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if flags.contains("target-cpu=native") {
        println!("cargo::rustc-cfg=worker_native_build");
    }
}
