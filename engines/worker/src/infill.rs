//! Prompts with a gap, for models that were trained to fill one: the marks of the vocabulary around the texts, in the order
//! that Qwen2.5-Coder, Codestral, Granite and StarCoder agree on (files, before the gap, behind the gap).
//!
//! What does not fit the context is left out here, and not refused: an editor sends whole files, and what stands far from the
//! gap matters least.
//!
//! Rules: ORCH-OAI-26

use generation::Infill;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::vocabulary::tokenize_plain;

/// What a project is called in the mark that begins its files: its name is not known here.
const PROJECT: &str = "project\n";

/// What the file with the gap is called, behind the others.
const THIS_FILE: &str = "this file\n";

/// The marks of a gap.
#[derive(Clone, Copy, Debug)]
struct Marks {
    before: i32,
    behind: i32,
    gap: i32,
    /// Before the name of a project, where the model knows several files.
    project: Option<i32>,
    /// Before the name of a file.
    file: Option<i32>,
}

impl Marks {
    fn of(model: &LlamaModel) -> Option<Self> {
        let vocab = model.vocab();
        let mark = |LlamaToken(token): LlamaToken| (token >= 0).then_some(token);
        Some(Self {
            before: mark(vocab.fim_pre())?,
            behind: mark(vocab.fim_suf())?,
            gap: mark(vocab.fim_mid())?,
            project: mark(vocab.fim_rep()),
            file: mark(vocab.fim_sep()),
        })
    }
}

/// Whether the model fills gaps.
#[must_use]
pub fn is_offered(model: &LlamaModel) -> bool {
    Marks::of(model).is_some()
}

/// The prompt of `infill` in at most `room` tokens.
///
/// # Errors
/// The model fills no gaps, or what is typed leaves no room.
pub fn prompt(model: &LlamaModel, infill: &Infill, room: usize) -> Result<Vec<i32>, String> {
    let marks = Marks::of(model).ok_or("`suffix`: this model has no fill-in-the-middle tokens")?;
    let vocab = model.vocab();
    let bos = (vocab.should_add_bos() && vocab.bos().0 >= 0).then_some(vocab.bos().0);
    let typed = tokenize_plain(model, &infill.typed);
    let framing = typed.len() + 3 + bos.iter().len();
    let Some(room) = room.checked_sub(framing).filter(|room| *room > 0) else {
        return Err(format!(
            "`prompt` takes {framing} tokens, which leaves no room for what is around the gap"
        ));
    };
    let (prefix, suffix) =
        around(tokenize_plain(model, &infill.prefix), tokenize_plain(model, &infill.suffix), room);
    let files = files(model, infill, marks, room - prefix.len() - suffix.len());
    let mut prompt: Vec<i32> = bos.into_iter().chain(files).collect();
    prompt.push(marks.before);
    prompt.extend(prefix);
    prompt.extend(typed);
    prompt.push(marks.behind);
    prompt.extend(suffix);
    prompt.push(marks.gap);
    Ok(prompt)
}

/// The end of what stands before the gap and the beginning of what stands behind it: three quarters of the room for the
/// first where both are long.
fn around(mut before: Vec<i32>, mut behind: Vec<i32>, room: usize) -> (Vec<i32>, Vec<i32>) {
    let for_behind = room.saturating_sub(before.len()).max(room / 4);
    behind.truncate(for_behind);
    let for_before = room - behind.len();
    let before = before.split_off(before.len().saturating_sub(for_before));
    (before, behind)
}

/// The other files, as far as they fit, the last one first.
fn files(model: &LlamaModel, infill: &Infill, marks: Marks, room: usize) -> Vec<i32> {
    let (Some(project), Some(file)) = (marks.project, marks.file) else { return Vec::new() };
    if infill.files.is_empty() {
        return Vec::new();
    }
    let named = |mark: i32, name: &str| {
        std::iter::once(mark).chain(tokenize_plain(model, name)).collect::<Vec<i32>>()
    };
    let head = named(project, PROJECT);
    let tail = named(file, THIS_FILE);
    let mut room = room.saturating_sub(head.len() + tail.len());
    let mut shown = Vec::new();
    for other in infill.files.iter().rev() {
        let mut tokens = named(file, &format!("{}\n", other.name));
        tokens.extend(tokenize_plain(model, &other.text));
        if tokens.len() > room {
            break;
        }
        room -= tokens.len();
        shown.push(tokens);
    }
    if shown.is_empty() {
        return Vec::new();
    }
    head.into_iter().chain(shown.into_iter().rev().flatten()).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OAI-26
    #[test]
    fn what_is_far_from_the_gap_is_left_out_first() {
        let tokens = |range: std::ops::Range<i32>| range.collect::<Vec<i32>>();
        assert_eq!(around(tokens(0..4), tokens(10..14), 8), (tokens(0..4), tokens(10..14)));
        assert_eq!(around(tokens(0..20), tokens(40..60), 8), (tokens(14..20), tokens(40..42)));
        assert_eq!(around(tokens(0..2), tokens(40..60), 8), (tokens(0..2), tokens(40..46)));
        assert_eq!(around(tokens(0..20), Vec::new(), 8), (tokens(12..20), Vec::new()));
    }
}
