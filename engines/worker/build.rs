//! Says whether this build is for the machine's own instruction set (`-C target-cpu=native`): llama.cpp's
//! build looks at the same flag. Compiles what needs C++.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crate that builds llama.cpp and has its sources.
const LLAMA_CRATE: &str = "llama-cpp-sys-2";

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rustc-check-cfg=cfg(worker_native_build)");
    println!("cargo::rerun-if-changed=src/memory.cpp");
    println!("cargo::rerun-if-changed=src/chat.cpp");
    let llama = llama_sources();
    // The runtime of C++ comes with llama.cpp, which links it as its features say.
    let mut bridge = cc::Build::new();
    bridge.cpp(true).std("c++17").cpp_link_stdlib(None).files(["src/memory.cpp", "src/chat.cpp"]);
    for folder in ["common", "include", "ggml/include", "vendor"] {
        // As a system's headers: their warnings are not ours.
        bridge.flag("-isystem").flag(llama.join(folder));
    }
    bridge.compile("worker_llama");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if flags.contains("target-cpu=native") {
        println!("cargo::rustc-cfg=worker_native_build");
    }
}

/// The tree of llama.cpp that is linked: its headers belong to that very version.
fn llama_sources() -> PathBuf {
    let output = Command::new(env::var_os("CARGO").expect("cargo runs build scripts"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
        .arg(env::var_os("TARGET").expect("cargo names the target"))
        .current_dir(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "`cargo metadata`: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("`cargo metadata` lists packages");
    let llama = packages.iter().find(|package| package["name"] == LLAMA_CRATE);
    let manifest = llama.and_then(|package| package["manifest_path"].as_str());
    let manifest = manifest.unwrap_or_else(|| panic!("`{LLAMA_CRATE}` is not among the packages"));
    Path::new(manifest).parent().expect("a manifest is in a folder").join("llama.cpp")
}
