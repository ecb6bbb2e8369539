use super::*;

#[test]
fn a_slash_begins_a_command_unless_it_is_a_path() {
    for (line, input) in [
        ("", Input::Nothing),
        ("  ", Input::Nothing),
        ("/exit", Input::Exit),
        (" /quit ", Input::Exit),
        ("/reset", Input::Reset),
        ("/system", Input::ShowSystem),
        ("/system  Be brief. ", Input::System("Be brief.")),
        ("/sytsem Be brief.", Input::Unknown("sytsem")),
        ("/exit now", Input::Unknown("exit")),
        ("/etc/passwd is what?", Input::Say("/etc/passwd is what?")),
        ("// a comment", Input::Say("// a comment")),
        ("  indented", Input::Say("  indented")),
    ] {
        assert_eq!(Input::parse(line), input, "{line}");
    }
}

#[test]
fn a_turn_sends_the_instructions_the_history_and_the_question_in_one_session() {
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    let chat = Chat {
        session: Uuid::from_u128(7),
        system: Some("Be brief.".to_owned()),
        history: vec![message(Role::User, "Hi"), message(Role::Assistant, "Hello")],
        generation: Generation {
            model: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            seed: None,
            strict: false,
        },
        patience: crate::args::PatienceArgs::at_once(),
        form: Form::Text,
        stats: Stats::Auto,
    };
    let request = chat.request(&message(Role::User, "And?"));
    let roles: Vec<Role> = request.messages.unwrap().iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    assert_eq!(request.session_id, Some(Uuid::from_u128(7)));
    assert!(request.sampling.is_none());
}
