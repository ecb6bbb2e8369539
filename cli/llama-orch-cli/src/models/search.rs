//! `models search`: repositories of Hugging Face that have a model in the format that is served here.
//!
//! Rules: ORCH-CLI-24

use model_store::{Cancel, FetchError, Silent};
use serde_json::json;

use super::Shelf;
use crate::args::SearchArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::table::{Palette, Table};

/// Searches.
///
/// # Errors
/// The hub cannot be asked, finds nothing, or a signal came.
pub async fn search(cx: &mut Context, args: SearchArgs) -> Result<Exit, Stop> {
    let shelf = Shelf::find()?;
    let words = args.words.join(" ");
    let (cancel, limit) = (Cancel::default(), args.limit);
    let (named, stop) = (words.clone(), cancel.clone());
    let searching = tokio::task::spawn_blocking(move || shelf.store.search(&named, limit, &Silent, &stop));
    tokio::pin!(searching);
    let found = tokio::select! {
        biased;
        exit = cx.interrupts.next() => {
            cancel.cancel();
            return Err(Stop::Signal(exit));
        }
        ended = &mut searching => ended.map_err(|_| Failure::new(Exit::Failed, "the search panicked"))?,
    };
    let found = found.map_err(|error| Failure::of_text(exit_of(&error), &error.to_string()))?;
    if args.json {
        let one = |repository: &model_store::FoundRepository| {
            let model = format!("hf:{}", repository.id);
            json!({ "model_ref": model, "downloads": repository.downloads, "likes": repository.likes })
        };
        let page = json!({ "repositories": found.iter().map(one).collect::<Vec<_>>() });
        cx.ui.print(&page.to_string())?;
        return Ok(Exit::Done);
    }
    let Some(first) = found.first() else {
        let message = format!("Hugging Face has no repository with GGUF models named `{words}`");
        return Err(Failure::new(Exit::Refused, message)
            .hint("try fewer words, or the family's name alone")
            .into());
    };
    let palette = if cx.ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
    let mut table = Table::new(["MODEL", "DOWNLOADS", "LIKES"]);
    for repository in &found {
        let model = format!("hf:{}", repository.id);
        table.row([
            model.into(),
            repository.downloads.to_string().into(),
            repository.likes.to_string().into(),
        ]);
    }
    cx.ui.print(&table.render(palette, ""))?;
    cx.ui.say(&format!("`llama-orch models pull hf:{}` fetches the best quantisation that fits", first.id));
    Ok(Exit::Done)
}

const fn exit_of(error: &FetchError) -> Exit {
    match error {
        FetchError::NotFound { .. } | FetchError::Denied { .. } | FetchError::OfflineSearch { .. } => {
            Exit::Refused
        }
        _ => Exit::Failed,
    }
}
