//! One feature file through cucumber, on a runtime of its own.

use std::path::Path;

use cucumber::{Cucumber, writer};

use crate::steps;
use crate::world::{World, close_shared};

/// Runs the scenarios of one file, one after another.
///
/// # Errors
/// What did not pass; cucumber has printed the details.
pub fn feature(file: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let cucumber = Cucumber::<World, _, &Path, _, _>::new()
            .steps(steps::all())
            .max_concurrent_scenarios(1)
            .after(|_, _, _, _, world| Box::pin(async move { World::leave(world).await }))
            .fail_on_skipped()
            .with_default_cli();
        let done = cucumber.run(file).await;
        verdict(&done)
    });
    close_shared();
    outcome
}

fn verdict<W>(done: &W) -> Result<(), String>
where
    W: writer::Stats<World>,
{
    let (failed, skipped) = (done.failed_steps(), done.skipped_steps());
    if done.execution_has_failed() || skipped > 0 {
        let (files, hooks) = (done.parsing_errors(), done.hook_errors());
        return Err(format!(
            "steps: {failed} failed, {skipped} skipped; files unread: {files}; hooks: {hooks}"
        ));
    }
    if done.passed_steps() == 0 {
        return Err("there is no scenario in it".to_owned());
    }
    Ok(())
}
