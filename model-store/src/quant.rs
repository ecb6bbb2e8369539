//! Which file of a repository is meant by a quantisation, or is the best one where none is named.
//!
//! Rules: ORCH-MODEL-17

use std::path::Path;

use crate::at_path::PartName;
use crate::disk::in_units;
use crate::model_ref::HfRepo;

/// What no answer gets better by, and what costs twice the memory: taken only where there is nothing else.
const UNQUANTISED: [&str; 5] = ["f16", "fp16", "bf16", "f32", "fp32"];
/// What is taken first where nothing is known of the memory, as llama.cpp does.
const USUAL: [&str; 2] = ["q4_k_m", "q8_0"];
/// Files that are no model of their own: projectors, importance matrices, the vocabulary alone.
const NO_MODELS: [&str; 3] = ["mmproj", "imatrix", "vocab-only"];
/// The most quantisations that a message names.
const MAX_NAMED: usize = 24;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepoFile {
    /// Its path in the repository.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Its SHA-256, where the hub says it.
    pub(crate) sha256: Option<String>,
}

/// A model of a repository: a file, or all parts of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The file, or the first of its parts.
    pub(crate) file: RepoFile,
    /// The bytes of all parts together.
    pub(crate) bytes: u64,
    /// The quantisation, as its name says it.
    pub(crate) quant: Option<String>,
}

/// The models among the files of a repository. Of one in parts, all of them must be there.
pub(crate) fn offers(files: &[RepoFile]) -> Vec<Offer> {
    let mut offers: Vec<Offer> = files.iter().filter_map(|file| offer(file, files)).collect();
    offers.sort_by(|a, b| (a.file.path.len(), &a.file.path).cmp(&(b.file.path.len(), &b.file.path)));
    offers.dedup_by(|a, b| a.file.path == b.file.path);
    offers
}

fn offer(file: &RepoFile, files: &[RepoFile]) -> Option<Offer> {
    let lower = file.path.to_ascii_lowercase();
    if !lower.ends_with(".gguf") || NO_MODELS.iter().any(|what| lower.contains(what)) {
        return None;
    }
    let (folder, name) =
        file.path.rsplit_once('/').map_or(("", file.path.as_str()), |(folder, name)| (folder, name));
    let bytes = match PartName::read(name) {
        Some(part) if part.number > 1 => return None,
        Some(part) => {
            let at = |number| {
                if folder.is_empty() { part.name(number) } else { format!("{folder}/{}", part.name(number)) }
            };
            let bytes = |path: String| files.iter().find(|file| file.path == path).map(|file| file.bytes);
            (1..=part.count).map(|number| bytes(at(number))).sum::<Option<u64>>()?
        }
        None => file.bytes,
    };
    Some(Offer { file: file.clone(), bytes, quant: quant_of(&file.path) })
}

/// The model with a quantisation; of several the one with the shortest name.
pub(crate) fn with_quant<'a>(offers: &'a [Offer], quant: &str) -> Option<&'a Offer> {
    let is_it = |offer: &&Offer| offer.quant.as_deref().is_some_and(|of| of.eq_ignore_ascii_case(quant));
    // Some tags are more than a quantisation: `UD-Q4_K_XL`, or the whole end of a name.
    offers.iter().find(is_it).or_else(|| offers.iter().find(|offer| ends_with(&offer.file.path, quant)))
}

/// The best model for so much memory: the largest that fits, and the smallest where none does.
pub(crate) fn best(offers: &[Offer], memory: Option<u64>) -> Option<&Offer> {
    let is_quantised = |offer: &&Offer| {
        offer
            .quant
            .as_deref()
            .is_none_or(|quant| !UNQUANTISED.iter().any(|one| quant.eq_ignore_ascii_case(one)))
    };
    let mut from: Vec<&Offer> = offers.iter().filter(is_quantised).collect();
    if from.is_empty() {
        from = offers.iter().collect();
    }
    match memory {
        Some(memory) => {
            let fitting = from.iter().copied().filter(|offer| offer.bytes <= memory);
            fitting
                .max_by_key(|offer| offer.bytes)
                .or_else(|| from.into_iter().min_by_key(|offer| offer.bytes))
        }
        None => {
            let usual = |quant: &&str| {
                from.iter()
                    .copied()
                    .find(|offer| offer.quant.as_deref().is_some_and(|of| of.eq_ignore_ascii_case(quant)))
            };
            USUAL.iter().find_map(usual).or_else(|| from.first().copied())
        }
    }
}

/// The quantisations that there are, for messages.
pub(crate) fn named(offers: &[Offer]) -> String {
    let name = |offer: &Offer| {
        let quant = offer.quant.clone().unwrap_or_else(|| offer.file.path.clone());
        format!("`{quant}` ({})", in_units(offer.bytes))
    };
    let mut names: Vec<String> = offers.iter().map(name).collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", names.join(", "))
}

/// What was chosen, for people.
pub(crate) fn describe(repo: &HfRepo, offer: &Offer, memory: Option<u64>) -> String {
    let Offer { file, bytes, quant } = offer;
    let quant = quant.as_ref().map(|quant| format!("{quant}, ")).unwrap_or_default();
    let why = match (&repo.quant, memory) {
        (Some(_), _) => String::new(),
        (None, Some(memory)) if *bytes <= memory => {
            format!(", the best that fits in {} for weights", in_units(memory))
        }
        (None, Some(memory)) => format!(", the smallest; none fits in {} for weights", in_units(memory)),
        (None, None) => ", as the memory of this machine is not known".to_owned(),
    };
    format!("`hf:{repo}` is `{}` ({quant}{}){why}", file.path, in_units(*bytes))
}

/// The quantisation in a file's name or, where it has none, in its folder's.
fn quant_of(path: &str) -> Option<String> {
    let name = stem(path);
    let of_name = name.rsplit(['.', '-']).find(|token| is_quant(token)).map(|token| {
        let before = &name[..name.len() - name.rsplit(token).next().unwrap_or_default().len() - token.len()];
        let is_dynamic = before.ends_with("UD-");
        if is_dynamic { format!("UD-{token}") } else { token.to_owned() }
    });
    let folder = || Path::new(path).parent()?.file_name()?.to_str();
    let of_folder = || folder().filter(|name| is_quant(name.trim_start_matches("UD-"))).map(str::to_owned);
    of_name.or_else(of_folder)
}

/// `Q4_K_M`, `IQ2_XXS`, `TQ1_0`, `MXFP4`, `F16` and the like.
pub(crate) fn is_quant(token: &str) -> bool {
    let token = token.to_ascii_lowercase();
    let digit_after = |prefix: &str| {
        token.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    ["q", "iq", "tq", "mxfp", "nvfp"].iter().any(|prefix| digit_after(prefix))
        || UNQUANTISED.contains(&token.as_str())
}

/// The name of a file without folders, suffix and the numbers of a part.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match PartName::read(name) {
        Some(part) => part.stem,
        None => name.rsplit_once('.').map_or(name, |(stem, _)| stem),
    }
}

fn ends_with(path: &str, tag: &str) -> bool {
    let stem = stem(path);
    let Some(at) = stem.len().checked_sub(tag.len()) else { return false };
    let is_end = stem.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(tag));
    is_end && (at == 0 || matches!(stem.as_bytes()[at - 1], b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests;
