//! `chat`: a conversation. The whole history goes with every turn, and all turns have one session, so that
//! the daemon finds what it has computed before in the KV cache.

use api_types::{Message, Role, TaskRequest};
use uuid::Uuid;

use crate::answer::{self, Ask, Ending, Form, Stats};
use crate::args::{ChatArgs, Generation, PatienceArgs};
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::{self, Lines, Source};
use crate::run;

mod editor;
mod lines;

use editor::Editor;

const PROMPT: &str = "> ";
const WELCOME: &str = "Talk with the model. /help says what can be typed, Ctrl-D leaves.";
const HELP: &str = "\
/system TEXT   give the model instructions; without TEXT, show them
/reset         forget the conversation
/exit          leave, as do Ctrl-D and Ctrl-C at the prompt
Ctrl-C         while an answer comes: cancel it
\\              at the end of a line: go on with the next line
\"\"\"            around as many lines as there are";

/// Talks until the person leaves. A failed turn is said and does not end the conversation, except where
/// nobody is there to react: then it is the result.
///
/// # Errors
/// Standard input or output is gone, or nobody is there and a turn failed.
pub async fn chat(cx: &mut Context, args: ChatArgs) -> Result<Exit, Stop> {
    let mut chat = Chat {
        session: Uuid::new_v4(),
        system: args.system,
        history: Vec::new(),
        generation: args.generation,
        patience: args.patience,
        form: if args.json { Form::Json } else { Form::Text },
        stats: if args.stats { Stats::Asked } else { Stats::Auto },
    };
    let person = input::source() == Source::Terminal;
    if person {
        cx.ui.note(WELCOME);
    }
    let mut lines =
        if person { Typed::Edited(Editor::open(args.no_history)?) } else { Typed::Piped(Lines::read()) };
    let ended = chat.talk(cx, &mut lines, person).await;
    chat.forget(cx).await;
    ended
}

struct Chat {
    session: Uuid,
    system: Option<String>,
    history: Vec<Message>,
    generation: Generation,
    patience: PatienceArgs,
    form: Form,
    stats: Stats,
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Input<'a> {
    Nothing,
    Exit,
    Reset,
    Help,
    ShowSystem,
    System(&'a str),
    Unknown(&'a str),
    Say(&'a str),
}

impl<'a> Input<'a> {
    fn parse(line: &'a str) -> Self {
        let trimmed = line.trim();
        let Some(command) = trimmed.strip_prefix('/') else {
            return if trimmed.is_empty() { Self::Nothing } else { Self::Say(line) };
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("exit" | "quit" | "bye", "") => Self::Exit,
            ("reset" | "clear", "") => Self::Reset,
            ("help" | "?", "") => Self::Help,
            ("system", "") => Self::ShowSystem,
            ("system", text) => Self::System(text),
            // A path or a comment that is pasted begins with a slash, too, and is no command.
            _ if name.contains('/') || name.is_empty() => Self::Say(line),
            _ => Self::Unknown(name),
        }
    }
}

impl Chat {
    async fn talk(&mut self, cx: &mut Context, lines: &mut Typed, person: bool) -> Result<Exit, Stop> {
        while let Some(line) = next_input(cx, lines).await? {
            match Input::parse(&line) {
                Input::Nothing => {}
                Input::Exit => break,
                Input::Reset => {
                    self.forget(cx).await;
                    self.session = Uuid::new_v4();
                    self.history.clear();
                    cx.ui.note("the conversation is forgotten");
                }
                Input::Help => cx.ui.say(HELP),
                Input::ShowSystem => {
                    let text = self.system.clone().unwrap_or_else(|| "there are no instructions".to_owned());
                    cx.ui.say(&text);
                }
                Input::System(text) => {
                    self.system = Some(text.to_owned());
                    cx.ui.note("the instructions hold from the next turn on");
                }
                Input::Unknown(name) => {
                    cx.ui.say(&format!("there is no /{name}; /help says what there is"));
                }
                Input::Say(text) => match self.turn(cx, text).await {
                    Ok(Ending::Complete) => {}
                    Ok(Ending::Interrupted(exit)) if exit != INTERRUPT => return Ok(exit),
                    Err(Stop::Signal(exit)) if exit != INTERRUPT => return Ok(exit),
                    Ok(Ending::Interrupted(_)) | Err(Stop::Signal(_)) => {
                        cx.interrupts.handled();
                        cx.ui.note("canceled");
                    }
                    Err(Stop::Failure(failure)) => {
                        if !person {
                            return Err(failure.into());
                        }
                        cx.ui.failure(&failure);
                    }
                    Err(stop) => return Err(stop),
                },
            }
        }
        Ok(Exit::Done)
    }

    /// One question and its answer. What was answered before an interruption stays in the history; of a
    /// turn that failed nothing does, so that it can be asked again.
    async fn turn(&mut self, cx: &mut Context, text: &str) -> Result<Ending, Stop> {
        let question = Message { role: Role::User, content: text.to_owned() };
        let ask = Ask {
            request: self.request(&question),
            patience: self.patience.bound(),
            form: self.form,
            stats: self.stats,
        };
        let answer = answer::answer(cx, &ask).await?;
        if !answer.text.is_empty() {
            self.history.push(question);
            self.history.push(Message { role: Role::Assistant, content: answer.text });
        }
        Ok(answer.ending)
    }

    fn request(&self, question: &Message) -> TaskRequest {
        let system = self.system.clone().map(|content| Message { role: Role::System, content });
        let history = self.history.iter().cloned();
        TaskRequest {
            messages: Some(system.into_iter().chain(history).chain([question.clone()]).collect()),
            session_id: Some(self.session),
            ..run::base_request(&self.generation)
        }
    }

    /// Gives the conversation's KV cache back, where there was a conversation.
    async fn forget(&self, cx: &Context) {
        if !self.history.is_empty() {
            cx.api.forget_quietly(self.session).await;
        }
    }
}

/// What Ctrl-C sends.
const INTERRUPT: Exit = Exit::Signal(2);

/// Where inputs come from.
enum Typed {
    /// A person, who is helped with typing.
    Edited(Editor),
    /// A pipe or a file.
    Piped(Lines),
}

/// The next input, over as many lines as it has; nothing when the person leaves.
async fn next_input(cx: &mut Context, typed: &mut Typed) -> Result<Option<String>, Stop> {
    let unreadable = |error| Failure::new(Exit::Usage, format!("standard input cannot be read: {error}"));
    let mut input = String::new();
    loop {
        let line = tokio::select! {
            biased;
            exit = cx.interrupts.next() => {
                return if exit == INTERRUPT { Ok(None) } else { Err(Stop::Signal(exit)) };
            }
            line = async {
                match typed {
                    Typed::Edited(editor) => editor.next(PROMPT).await,
                    Typed::Piped(lines) => lines.next().await,
                }
            } => line,
        };
        let Some(line) = line else { return Ok((!input.is_empty()).then(|| lines::joined(&input))) };
        input.push_str(&line.map_err(unreadable)?);
        if !lines::goes_on(&input) {
            return Ok(Some(lines::joined(&input)));
        }
        input.push('\n');
    }
}

#[cfg(test)]
mod tests;
