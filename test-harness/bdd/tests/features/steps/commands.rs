//! The executable as a command that runs to its end.

use super::{Said, Steps};

pub fn steps(steps: Steps) -> Steps {
    steps
        .step("the configuration", |world, said| {
            Box::pin(async move { world.setup.config = Some(said.block()) })
        })
        .step("I run orchestratord with {text}", |world, said| {
            Box::pin(async move {
                world.setup.args = said.text(0).split_whitespace().map(str::to_owned).collect();
                world.output = Some(world.setup.run());
            })
        })
        .step("I run orchestratord on the address of the daemon", |world, _| {
            Box::pin(async move {
                world.setup.args = vec!["--listen".to_owned(), world.daemon().address().to_string()];
                world.output = Some(world.setup.run());
            })
        })
        .step("it exits with the code {number}", |world, said| {
            Box::pin(async move {
                let output = world.output.as_ref().expect("something was run");
                let told = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code().map(i64::from), i64::try_from(said.number(0)).ok(), "{told}");
            })
        })
        .step("its output contains {text}", |world, said| {
            Box::pin(async move {
                let output = world.output.as_ref().expect("something was run");
                let told = String::from_utf8_lossy(&output.stdout);
                assert!(told.contains(&said.text(0)), "{told}");
            })
        })
        .step("its error message contains {text}", |world, said| {
            Box::pin(async move {
                let output = world.output.as_ref().expect("something was run");
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(told.contains(&said.text(0)), "{told}");
            })
        })
}
