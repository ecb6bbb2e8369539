use super::*;

fn model_with(ctx: Option<u32>) -> Model {
    Model { name: "qwen3:8b".to_owned(), pool: "qwen".to_owned(), ctx }
}

fn shell(agent: Agent, ctx: Option<u32>) -> String {
    Setup::new(agent, "http://127.0.0.1:6173", "secret-token", &model_with(ctx))
        .to_shell(&["--resume".to_owned()])
}

/// ORCH-CLI-20
#[test]
fn each_agent_is_told_address_token_model_and_the_batch_lane_for_its_small_model() {
    for agent in [Agent::Claude, Agent::Codex, Agent::Opencode, Agent::Qwen, Agent::Aider] {
        let told = shell(agent, Some(65_536));
        for what in ["http://127.0.0.1:6173", "secret-token", "qwen3:8b"] {
            assert!(told.contains(what), "{agent} is told {what}: {told}");
        }
        let last = told.lines().last().unwrap();
        assert!(last.starts_with(agent.program()) && last.ends_with("--resume"), "{last}");
    }
    for agent in [Agent::Claude, Agent::Opencode, Agent::Aider] {
        assert!(shell(agent, None).contains("qwen3:8b@batch"), "{agent}");
    }
}

/// ORCH-CLI-20
#[test]
fn the_context_bounds_what_an_agent_asks_for() {
    assert!(shell(Agent::Claude, Some(65_536)).contains("CLAUDE_CODE_MAX_OUTPUT_TOKENS=8192"));
    assert!(shell(Agent::Claude, Some(16_384)).contains("CLAUDE_CODE_MAX_OUTPUT_TOKENS=4096"));
    assert!(shell(Agent::Codex, Some(16_384)).contains("model_context_window=16384"));
    assert!(shell(Agent::Opencode, Some(16_384)).contains(r#""limit":{"context":16384,"output":4096}"#));
    assert!(!shell(Agent::Opencode, None).contains("limit"));
}

/// ORCH-CLI-20
#[test]
fn a_context_that_is_too_small_is_refused_with_what_to_set_and_an_unknown_one_is_not() {
    let refused = too_small(Agent::Claude, &model_with(Some(8192))).unwrap();
    assert!(refused.message.contains("has 8192") && refused.message.contains("32768"), "{refused:?}");
    assert!(refused.hint.unwrap().contains("`ctx: 32768`"));
    assert_eq!(too_small(Agent::Claude, &model_with(Some(32_768))), None);
    assert_eq!(too_small(Agent::Claude, &model_with(None)), None);
}

#[test]
fn words_are_quoted_as_a_shell_takes_them() {
    let setup = Setup::new(Agent::Qwen, "http://h", "it's", &model_with(None));
    let told = setup.to_shell(&["say hi".to_owned(), String::new()]);
    assert!(told.contains(r"OPENAI_API_KEY='it'\''s'"), "{told}");
    assert!(told.ends_with("--model qwen3:8b 'say hi' ''"), "{told}");
}
