//! Real names of files, and which of them is taken.

use super::*;

const GIB: u64 = 1 << 30;

fn file(path: &str, gib: u64) -> RepoFile {
    RepoFile { path: path.to_owned(), bytes: gib * GIB, sha256: None }
}

fn repository() -> Vec<Offer> {
    offers(&[
        file("README.md", 1),
        file("mmproj-F16.gguf", 1),
        file("Qwen3-8B-Q4_K_M.gguf", 5),
        file("Qwen3-8B-UD-Q4_K_XL.gguf", 6),
        file("Qwen3-8B-Q8_0.gguf", 9),
        file("BF16/Qwen3-8B-BF16-00001-of-00002.gguf", 10),
        file("BF16/Qwen3-8B-BF16-00002-of-00002.gguf", 7),
        file("Q6_K/model-00001-of-00002.gguf", 4),
        file("Q6_K/model-00002-of-00002.gguf", 3),
        file("Qwen3-8B-Q2_K-00001-of-00002.gguf", 1),
    ])
}

/// ORCH-MODEL-17
#[test]
fn a_quantisation_is_found_by_what_files_and_folders_are_called() {
    let offers = repository();
    for (quant, path) in [
        ("Q4_K_M", Some("Qwen3-8B-Q4_K_M.gguf")),
        ("q8_0", Some("Qwen3-8B-Q8_0.gguf")),
        ("UD-Q4_K_XL", Some("Qwen3-8B-UD-Q4_K_XL.gguf")),
        ("Q4_K_XL", Some("Qwen3-8B-UD-Q4_K_XL.gguf")),
        ("Q6_K", Some("Q6_K/model-00001-of-00002.gguf")),
        ("BF16", Some("BF16/Qwen3-8B-BF16-00001-of-00002.gguf")),
        // A part is missing.
        ("Q2_K", None),
        ("IQ4_XS", None),
    ] {
        let found = with_quant(&offers, quant).map(|offer| offer.file.path.as_str());
        assert_eq!(found, path, "{quant}");
    }
}

/// ORCH-MODEL-17
#[test]
fn the_best_is_the_largest_quantisation_that_fits_and_else_the_smallest() {
    let offers = repository();
    let best =
        |gib: u64| best(&offers, Some(gib * GIB)).map(|offer| (offer.quant.as_deref(), offer.bytes / GIB));
    assert_eq!(best(5), Some((Some("Q4_K_M"), 5)));
    assert_eq!(best(7), Some((Some("Q6_K"), 7)));
    // Twice the memory for nothing: the unquantised one is left, however much fits.
    assert_eq!(best(100), Some((Some("Q8_0"), 9)));
    assert_eq!(best(1), Some((Some("Q4_K_M"), 5)));
}

#[test]
fn without_a_known_memory_the_usual_one_is_taken_and_without_any_quantisation_what_there_is() {
    let offers_of = |paths: &[&str]| offers(&paths.iter().map(|path| file(path, 1)).collect::<Vec<_>>());
    let quant = |offers: &[Offer]| best(offers, None).map(|offer| offer.file.path.clone());
    assert_eq!(quant(&repository()).as_deref(), Some("Qwen3-8B-Q4_K_M.gguf"));
    assert_eq!(quant(&offers_of(&["m-F16.gguf"])).as_deref(), Some("m-F16.gguf"));
    assert_eq!(quant(&offers_of(&["model.gguf"])).as_deref(), Some("model.gguf"));
    assert_eq!(quant(&offers_of(&["mmproj-m.gguf"])), None);
}

#[test]
fn what_was_chosen_is_described_with_its_reason() {
    let repo = HfRepo { owner: "o".into(), repo: "r".into(), revision: None, quant: None };
    let offers = repository();
    let six = 6 * GIB;
    let offer = best(&offers, Some(six)).expect("one");
    assert_eq!(
        describe(&repo, offer, Some(six)),
        "`hf:o/r` is `Qwen3-8B-UD-Q4_K_XL.gguf` (UD-Q4_K_XL, 6.0 GiB), the best that fits in 6.0 GiB for weights"
    );
    assert!(describe(&repo, offer, Some(GIB)).ends_with(", the smallest; none fits in 1.0 GiB for weights"));
    assert!(named(&offers).contains("`Q6_K` (7.0 GiB)"));
}
