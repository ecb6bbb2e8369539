//! What the worker knows of the machine and of its own build.

use std::collections::HashSet;
use std::path::Path;

/// Cores, counting those that share one as one: a second thread on a core makes llama.cpp slower.
#[must_use]
pub fn physical_cores() -> u16 {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let cores = siblings(Path::new("/sys/devices/system/cpu")).unwrap_or(usable).min(usable);
    u16::try_from(cores.max(1)).unwrap_or(u16::MAX)
}

/// The number of groups of threads that share a core, by Linux' `thread_siblings_list`.
fn siblings(cpus: &Path) -> Option<usize> {
    let groups: HashSet<String> = std::fs::read_dir(cpus)
        .ok()?
        .filter_map(|entry| {
            std::fs::read_to_string(entry.ok()?.path().join("topology/thread_siblings_list")).ok()
        })
        .collect();
    (!groups.is_empty()).then_some(groups.len())
}

/// Whether llama.cpp was built for the instruction set of the machine that built it (`native`) or for any
/// of its kind (`portable`), with the extensions that the compiler was free to use. Known without loading
/// anything, so that the daemon can say it.
#[must_use]
pub fn compiled_for() -> String {
    let free_to_use = [
        ("AVX", cfg!(target_feature = "avx")),
        ("AVX2", cfg!(target_feature = "avx2")),
        ("FMA", cfg!(target_feature = "fma")),
        ("F16C", cfg!(target_feature = "f16c")),
        ("AVX512F", cfg!(target_feature = "avx512f")),
        ("NEON", cfg!(target_feature = "neon")),
    ];
    let named: Vec<&str> = free_to_use.iter().filter(|(_, free)| *free).map(|(name, _)| *name).collect();
    if named.is_empty() { KIND.to_owned() } else { format!("{KIND}: {}", named.join(", ")) }
}

const KIND: &str = if cfg!(worker_native_build) { "native" } else { "portable" };

/// How llama.cpp was built, in words: whether for this machine's own instruction set, and what it uses of
/// it, out of llama.cpp's `CPU : SSE3 = 1 | AVX = 1 | …`.
#[must_use]
pub fn build(system_info: &str) -> String {
    let in_use: Vec<&str> = system_info
        .split(['|', ':'])
        .filter_map(|part| part.trim().strip_suffix("= 1"))
        .map(str::trim)
        .collect();
    if in_use.is_empty() { KIND.to_owned() } else { format!("{KIND}: {}", in_use.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_names_what_is_in_use_only() {
        let said = build("CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | FMA = 1 | ");
        assert!(said.ends_with(": SSE3, AVX2, FMA"), "{said}");
    }

    #[test]
    fn there_is_at_least_one_core_and_no_more_than_threads() {
        let threads = std::thread::available_parallelism().expect("known").get();
        assert!((1..=threads).contains(&usize::from(physical_cores())));
    }
}
