//! The container files, read as far as can be without building them: no image is fetched here.

use serde_json::Value;

use crate::{file, root};

const FILES: [&str; 3] = ["Dockerfile.cpu", "Dockerfile.cuda", "Dockerfile.vulkan"];

/// An instruction with its words, as the file has them over one or more lines.
struct Instruction {
    name: String,
    rest: String,
}

fn instructions(name: &str) -> Vec<Instruction> {
    let text = file(&format!("container/{name}"));
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    let mut whole: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in lines {
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match whole.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(part.trim_start()),
            None => whole.push(part.to_owned()),
        }
        goes_on = more;
    }
    assert!(!goes_on, "{name} ends in the middle of an instruction");
    whole
        .iter()
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            Instruction { name: name.to_owned(), rest: rest.trim().to_owned() }
        })
        .collect()
}

#[test]
fn every_instruction_is_one() {
    let known = [
        "FROM",
        "ARG",
        "RUN",
        "ENV",
        "WORKDIR",
        "COPY",
        "USER",
        "VOLUME",
        "EXPOSE",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
    ];
    for name in FILES {
        for instruction in instructions(name) {
            assert!(known.contains(&instruction.name.as_str()), "{name}: {}", instruction.name);
        }
    }
}

/// ORCH-INST-3
#[test]
fn an_image_holds_the_programs_and_not_what_built_them_and_does_not_run_as_root() {
    for name in FILES {
        let all = instructions(name);
        let stages: Vec<usize> = (0..all.len()).filter(|at| all[*at].name == "FROM").collect();
        assert_eq!(stages.len(), 2, "{name}");
        assert!(all[stages[0]].rest.ends_with(" AS build"), "{name}");
        assert!(
            !all[stages[0]].rest.contains(":latest") && all[stages[1]].rest.contains(':'),
            "{name}: a version"
        );
        let image = &all[stages[1]..];
        let of = |what: &str| {
            image.iter().filter(|one| one.name == what).map(|one| one.rest.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(
            of("COPY"),
            [
                "--from=build /source/target/release/orchestratord /source/target/release/llama-orch /usr/local/bin/"
            ]
        );
        assert_eq!(of("USER"), ["10001"], "{name}");
        assert_eq!(of("ENTRYPOINT"), [r#"["orchestratord"]"#], "{name}");
        assert!(of("HEALTHCHECK")[0].ends_with(r#"CMD ["llama-orch", "health"]"#), "{name}");
        let user = image.iter().position(|one| one.name == "USER").unwrap();
        assert!(
            image[user..].iter().all(|one| one.name != "RUN"),
            "{name}: what is installed is installed before"
        );
    }
}

#[test]
fn a_build_is_the_one_of_the_lock_file_with_the_back_end_of_its_name() {
    let manifest = std::fs::read_to_string(root().join("orchestratord/Cargo.toml")).unwrap();
    for (name, back_end) in FILES.into_iter().zip([None, Some("cuda"), Some("vulkan")]) {
        let build = instructions(name).into_iter().find(|one| one.rest.contains("cargo build")).unwrap().rest;
        assert!(build.contains("--locked") && build.contains("--release"), "{name}: {build}");
        let features = build.split_once("--features orchestratord/").map(|(_, feature)| feature);
        assert_eq!(features, back_end, "{name}");
        assert!(back_end.is_none_or(|feature| manifest.contains(&format!("{feature} = ["))), "{name}");
    }
}

#[test]
fn the_composed_service_is_reached_on_loopback_and_keeps_what_it_fetched() {
    let compose: Value = serde_saphyr::from_str(&file("container/compose.yaml")).unwrap();
    let service = &compose["services"]["llama-orch"];
    assert_eq!(
        (&service["network_mode"], &service["volumes"][0]),
        (&"host".into(), &"llama-orch:/data".into())
    );
    let built = service["build"]["dockerfile"].as_str().unwrap();
    assert!(root().join(built).is_file(), "{built}");
}
