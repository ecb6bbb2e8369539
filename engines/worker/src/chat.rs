//! Conversations and answers through llama.cpp's own chat layer: a model's chat template, the format in which it
//! writes reasoning and tool calls, and the grammar of that format. llama.cpp knows the formats of all families
//! and finds out that of an unknown one from its template.
//!
//! ```text
//! conversation, tools ──render──► prompt, grammar, OutputFormat ──► OutputParser: text ─► reasoning, content, calls
//! ```
//!
//! A template that shows no tools gets them in words (`tool_calls::plain`): instructions in the system message, calls
//! and results as text. Calls of the families of Hermes and of Qwen's coders are read by `tool_calls`, which forgives
//! more than llama.cpp does.
//!
//! Rules: ORCH-TASK-11, ORCH-ENG-10, ORCH-ENG-16, ORCH-ENG-26

mod held;
mod messages;
mod output;
mod recent;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use constrained_decoding::gbnf;
use constrained_decoding::schema::Unsupported;
use generation::{Message, ReasoningOptions, Role, Tool, ToolChoice, Tools, reasoning};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tool_calls::{ToolFormat, plain};

use crate::clock;
use crate::ffi::chat::Templates;
use crate::grammar::lazy::Calls;
pub use crate::grammar::{AnswerGrammar, AnswerSchema, Begins};
use crate::reasoning::ReasoningTags;
use messages::CallIds;
pub use output::{OutputParser, Parsed};
use recent::Recent;

/// Texts of a model's special tokens that templates know.
#[derive(Clone, Debug, Default)]
pub struct SpecialTexts {
    /// The start of a text.
    pub bos: String,
    /// Its end.
    pub eos: String,
}

/// What messages call the arguments of a template.
const ARGUMENTS: &str = "chat_template_kwargs";

/// What a pool calls them.
const DEFAULT_ARGUMENTS: &str = "template_kwargs";

/// What every template is given, so that it is no argument of its own.
const GIVEN: [&str; 5] = ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"];

/// The argument that switches reasoning on and off.
const THINKING: &str = "enable_thinking";

/// The argument that has reasoning of earlier turns shown.
const KEPT_REASONING: &str = "preserve_reasoning";

/// The argument that says how much a model reasons.
const EFFORT: &str = "reasoning_effort";

/// Arguments that a template knows beside the conversation.
#[derive(Clone, Debug, Default)]
pub struct Arguments(Map<String, Value>);

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    templates: Templates,
    recent: Recent,
    source: String,
    ids: CallIds,
    tools: ShowsTools,
    shows_system: bool,
    /// Whether its model thinks unless it is told not to.
    thinks: bool,
    /// Arguments for conversations that do not have them.
    defaults: Arguments,
}

/// How a template shows tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShowsTools {
    /// It does. Calls are read here where there is a format, since more is understood of what models of these
    /// families get wrong, and by llama.cpp otherwise.
    Itself(Option<ToolFormat>),
    /// It does not, or nobody could read the calls: they are told of in words.
    InWords {
        /// Whether llama.cpp knows how the model writes calls all the same.
        calls_are_known: bool,
    },
}

/// What is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// Its turns.
    pub messages: &'a [Message],
    /// What may be called.
    pub tools: &'a Tools,
    /// A JSON schema that the answer must keep to.
    pub schema: Option<&'a AnswerSchema<'a>>,
    /// How the model reasons; arguments of the template go before it.
    pub reasoning: &'a ReasoningOptions,
    /// Whether the answer continues the last turn, which is the model's.
    pub continues: bool,
    /// What the template knows besides.
    pub arguments: &'a Arguments,
    /// What llama.cpp's grammar of it is for.
    pub grammar: WantsGrammar,
}

/// What llama.cpp's grammar of a conversation is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantsGrammar {
    /// Nothing: the grammar is made here.
    #[default]
    No,
    /// It holds the answer.
    Yes,
    /// It holds calls that are one way to answer among others.
    OfOptionalCalls,
}

/// Why a conversation cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The template does not take it.
    Template(String),
    /// A field is at fault, which the text names.
    Field(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::Template(why)
    }
}

/// A rendered conversation.
#[derive(Debug)]
pub struct Rendered {
    /// What the model reads.
    pub prompt: String,
    /// What holds the answer to the schema or to calls; nothing where it is free.
    pub grammar: Option<AnswerGrammar>,
    /// Texts that end the answer.
    pub stops: Vec<String>,
    /// How the answer is read.
    pub format: OutputFormat,
}

/// How a model writes an answer.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OutputFormat {
    /// llama.cpp's number of it.
    #[serde(rename = "format")]
    number: i32,
    /// The end of the prompt, which belongs to what is parsed.
    generation_prompt: String,
    /// llama.cpp's parser, as a text of its own.
    parser: String,
    /// Special tokens whose texts are part of the answer.
    pub preserved_tokens: Vec<String>,
    thinking_start: String,
    thinking_ends: Vec<String>,
    grammar_triggers: Vec<Trigger>,
    /// The format in which calls of these tools are read out of the content, where that is done here.
    #[serde(skip)]
    own: Option<(ToolFormat, Vec<Tool>)>,
    /// Whether the output begins within reasoning, where it may hold reasoning that llama.cpp knows nothing of.
    #[serde(skip)]
    inline_reasoning: Option<bool>,
    /// How many calls it may hold.
    #[serde(skip)]
    calls: AllowedCalls,
    /// What its raw text is.
    #[serde(skip)]
    raw_text: RawText,
    /// Whether the prompt ends with the beginning of the answer.
    #[serde(skip)]
    continues: bool,
}

/// How many tool calls an output may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AllowedCalls {
    #[default]
    None,
    One,
    Any,
}

/// What the raw text of an output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RawText {
    /// What the model wrote.
    #[default]
    AsWritten,
    /// The answer alone: what must satisfy a schema has no markup around it.
    AnswerOnly,
}

/// What a format begins calls with.
#[derive(Clone, Debug, Deserialize)]
struct Trigger {
    kind: u8,
    value: String,
}

impl Trigger {
    /// llama.cpp's number of a trigger that is a text.
    const WORD: u8 = 1;
    /// Of a pattern that is searched.
    const PATTERN: u8 = 2;
    /// Of a pattern that is all of the answer so far.
    const WHOLE: u8 = 3;
}

#[derive(Deserialize)]
struct FromTemplate {
    prompt: String,
    grammar: String,
    grammar_lazy: bool,
    stops: Vec<String>,
    #[serde(flatten)]
    format: OutputFormat,
}

impl ChatTemplate {
    /// Whether its model reasons before it answers.
    #[must_use]
    pub fn reasons(&self) -> bool {
        self.thinks
    }

    /// Compiles the template's text.
    ///
    /// # Errors
    /// What the template's author got wrong.
    pub fn compile(source: String, special: &SpecialTexts) -> Result<Self, String> {
        let templates =
            Templates::open(&source, &special.bos, &special.eos).map_err(|error| explain(&error))?;
        let abilities: HashMap<String, bool> = from_json(&templates.abilities()?)?;
        let has = |ability: &str| abilities.get(ability).copied().unwrap_or(false);
        let (shows_system, thinks) = (has("supports_system_role"), has("thinking"));
        let ids = if source.contains("[TOOL_CALLS]") { CallIds::Short } else { CallIds::Any };
        let unknown = ShowsTools::InWords { calls_are_known: false };
        let mut template = Self {
            templates,
            recent: Recent::default(),
            source,
            ids,
            tools: unknown,
            shows_system,
            thinks,
            defaults: Arguments::default(),
        };
        let calls_are_known =
            template.asked_to_call(ToolChoice::Required).is_some_and(|forced| !forced.grammar.is_empty());
        template.tools = if has("supports_tools") && calls_are_known {
            ShowsTools::Itself(template.own_format())
        } else {
            ShowsTools::InWords { calls_are_known }
        };
        Ok(template)
    }

    /// The format of its model's calls, where that is one of those that are read here.
    fn own_format(&self) -> Option<ToolFormat> {
        let begins = self.asked_to_call(ToolChoice::Auto)?.format.grammar_triggers.into_iter().next();
        // Another format may have the same mark within marks of its own.
        tool_calls::detect(&self.source).filter(|format| {
            begins.is_none_or(|begins| tool_calls::marks(*format).contains(&begins.value.trim()))
        })
    }

    /// What llama.cpp makes of a tool; nothing where the template refuses it.
    fn asked_to_call(&self, choice: ToolChoice) -> Option<FromTemplate> {
        let offered = vec![Tool { name: "zebra".to_owned(), ..Tool::default() }];
        let tools = Tools { offered, choice, single: true };
        let messages = [Message::new(Role::User, "x")];
        let arguments = Arguments::default();
        self.rendered(&Conversation {
            messages: &messages,
            tools: &tools,
            schema: None,
            reasoning: &ReasoningOptions::default(),
            continues: false,
            arguments: &arguments,
            grammar: WantsGrammar::No,
        })
        .ok()
    }

    /// Reads arguments of the template's own out of the text of a JSON object.
    ///
    /// # Errors
    /// The first one that the template does not know.
    pub fn arguments(&self, text: &str) -> Result<Arguments, String> {
        self.arguments_of(ARGUMENTS, text)
    }

    /// The same template with arguments for conversations that do not have them.
    ///
    /// # Errors
    /// The first one that the template does not know.
    pub fn with_defaults(self, text: &str) -> Result<Self, String> {
        Ok(Self { defaults: self.arguments_of(DEFAULT_ARGUMENTS, text)?, ..self })
    }

    fn arguments_of(&self, field: &str, text: &str) -> Result<Arguments, String> {
        let arguments: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("`{field}` is no JSON object: {error}"))?;
        let known = |name: &str| [THINKING, KEPT_REASONING].contains(&name) || self.mentions(name);
        if let Some(unknown) = arguments.keys().find(|name| !known(name)) {
            return Err(format!(
                "`{field}.{unknown}` is not known to the model's chat template, which mentions it nowhere"
            ));
        }
        match arguments.get(THINKING) {
            None | Some(Value::Bool(_)) => Ok(Arguments(arguments)),
            Some(other) => Err(format!("`{field}.{THINKING}` is {other}: `true` or `false` would be right")),
        }
    }

    /// Whether `name` stands in the template as a word, and is not what every template is given.
    fn mentions(&self, name: &str) -> bool {
        let is_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        !(name.is_empty() || GIVEN.contains(&name))
            && self.source.match_indices(name).any(|(at, _)| {
                !self.source[..at].ends_with(is_of_word)
                    && !self.source[at + name.len()..].starts_with(is_of_word)
            })
    }

    /// A conversation and its tools as text, with the start of the model's turn at its end.
    ///
    /// # Errors
    /// The field at fault, and what the template or llama.cpp says of it.
    pub fn render(&self, asked: &Conversation<'_>) -> Result<Rendered, Refused> {
        let Conversation { messages, tools, .. } = *asked;
        // Calls that are forced are the whole answer.
        let schema = asked.schema.filter(|_| !tools.are_forced());
        let asked = &Conversation { schema, ..*asked };
        match self.tools {
            ShowsTools::Itself(Some(format)) if tools.are_shown() => return self.render_in(format, asked),
            ShowsTools::InWords { calls_are_known }
                if tools.are_shown() || plain::speaks_of_tools(messages) =>
            {
                return self.render_in_words(asked, calls_are_known);
            }
            ShowsTools::Itself(_) | ShowsTools::InWords { .. } => {}
        }
        let rendered = self.in_any_order(asked)?;
        let grammar = rendered.answer_grammar();
        if schema.is_none() || !tools.are_shown() {
            let mut rendered = rendered.told(grammar, tools);
            if schema.is_some() {
                rendered.format.raw_text = RawText::AnswerOnly;
            }
            return Ok(rendered);
        }
        // llama.cpp forgets the tools beside a schema.
        let forced = Tools { choice: ToolChoice::Required, ..tools.clone() };
        let grammar = WantsGrammar::OfOptionalCalls;
        let calls = self.in_any_order(&Conversation { tools: &forced, schema: None, grammar, ..*asked })?;
        let grammar = WantsGrammar::No;
        let free = self.in_any_order(&Conversation { schema: None, grammar, ..*asked })?;
        let begins = Begins::AtOnce(rendered.format.generation_prompt.clone());
        let text = tool_calls::either(&calls.grammar, &rendered.grammar);
        Ok(free.told(Some(AnswerGrammar { text, begins }), tools))
    }

    /// The same for a template that shows no tools: they are told of in words.
    fn render_in_words(&self, asked: &Conversation<'_>, calls_are_known: bool) -> Result<Rendered, Refused> {
        let Conversation { messages, tools, .. } = *asked;
        let turns = plain::in_words(messages, tools)?;
        let turns = if self.shows_system { turns } else { plain::without_system(turns) };
        let hidden = Tools::default();
        let in_words = Conversation { messages: &turns, tools: &hidden, ..*asked };
        if !tools.are_shown() {
            let rendered = self.in_any_order(&in_words)?;
            let grammar = rendered.answer_grammar();
            return Ok(rendered.told(grammar, tools));
        }
        // Its model may write calls in a way of its own all the same.
        let read = if calls_are_known { tools } else { &hidden };
        let grammar = WantsGrammar::No;
        let rendered = self.in_any_order(&Conversation { tools: read, schema: None, grammar, ..in_words })?;
        // A model that was never taught to call does not know when to stop either.
        rendered.read_as(ToolFormat::Hermes, asked, Tools { single: true, ..tools.clone() })
    }

    /// The same for a template of a family whose calls are read and forced here.
    fn render_in(&self, format: ToolFormat, asked: &Conversation<'_>) -> Result<Rendered, Refused> {
        let shown = Conversation { schema: None, grammar: WantsGrammar::No, ..*asked };
        let hidden = Conversation { tools: &Tools::default(), ..shown };
        let shown = self.in_any_order(&shown)?;
        let read = self.in_any_order(&hidden)?;
        FromTemplate { prompt: shown.prompt, ..read }.read_as(format, asked, asked.tools.clone())
    }

    /// Renders the conversation, put in order where the template refuses it as it is.
    fn in_any_order(&self, asked: &Conversation<'_>) -> Result<FromTemplate, Refused> {
        self.rendered(asked).or_else(|why| {
            let ordered = messages::in_order(asked.messages);
            if matches!(why, Refused::Field(_)) || ordered == asked.messages {
                return Err(why);
            }
            self.rendered(&Conversation { messages: &ordered, ..*asked }).map_err(|_| why)
        })
    }

    /// All tools are shown to the model, also where one of them is named that must be called.
    fn rendered(&self, asked: &Conversation<'_>) -> Result<FromTemplate, Refused> {
        let Tools { offered, choice, .. } = asked.tools;
        let ToolChoice::Named(named) = choice else { return self.rendered_with(asked, offered) };
        let tool = offered.iter().find(|tool| tool.name == *named);
        let rendered = self.rendered_with(asked, tool.map(std::slice::from_ref).unwrap_or_default())?;
        let unheld = Conversation { grammar: WantsGrammar::No, ..*asked };
        let FromTemplate { prompt, .. } = self.rendered_with(&unheld, offered)?;
        Ok(FromTemplate { prompt, ..rendered })
    }

    /// What llama.cpp makes of the conversation with these tools, and grammars of our own for their schemas.
    fn rendered_with(&self, asked: &Conversation<'_>, offered: &[Tool]) -> Result<FromTemplate, Refused> {
        let shown = asked.tools.are_shown();
        let functions = if shown { plain::functions(offered)? } else { Vec::new() };
        let rendered = self.llama(asked, &functions, asked.choice()).or_else(|why| {
            // It refuses schemas that it does not know, and not only where they are promised.
            if !shown {
                return Err(why);
            }
            let schemas = held::schemas(asked.tools, offered)?;
            let prompt = self.llama(asked, &functions, "none")?.prompt;
            let simple = self.llama(asked, &held::simple(&functions, &schemas), asked.choice())?;
            Ok::<_, String>(FromTemplate { prompt, ..simple })
        });
        let mut rendered = rendered?;
        if let Some(schema) = asked.schema {
            self.hold_answer(asked, schema, &functions, &mut rendered);
        }
        if shown && asked.promises(offered) && !rendered.grammar.is_empty() {
            self.hold_calls(asked, offered, &functions, &mut rendered)?;
        }
        Ok(rendered)
    }

    /// Puts the grammar of the answer's schema where a constant stood for it.
    fn hold_answer(
        &self,
        asked: &Conversation<'_>,
        schema: &AnswerSchema<'_>,
        functions: &[Value],
        rendered: &mut FromTemplate,
    ) {
        // A fence around the answer is a choice that would make it another text than the value.
        let grammar = std::mem::take(&mut rendered.grammar).replace(held::FENCED, "");
        match gbnf::replaced(&grammar, &held::text(held::ANSWER), &schema.gbnf, "json-") {
            Some(grammar) => rendered.grammar = grammar,
            // A format without an answer of that kind: the answer is the value and nothing else.
            None => {
                rendered.grammar.clone_from(&schema.gbnf);
                rendered.grammar_lazy = false;
                rendered.format = OutputFormat::default();
            }
        }
        // A few templates show the schema.
        if rendered.prompt.contains(held::ANSWER) {
            let shown = self.llama_with(asked, functions, asked.choice(), schema.text);
            rendered.prompt =
                shown.map_or_else(|_| std::mem::take(&mut rendered.prompt), |shown| shown.prompt);
        }
    }

    /// Holds the arguments of calls to their schemas, where the format leaves a place for them.
    fn hold_calls(
        &self,
        asked: &Conversation<'_>,
        offered: &[Tool],
        functions: &[Value],
        rendered: &mut FromTemplate,
    ) -> Result<(), Refused> {
        let schemas = held::schemas(asked.tools, offered).map_err(Refused::Field)?;
        let held = held::Held { tools: asked.tools, shown: offered, schemas: &schemas };
        let unsupported = |tool: &Tool| match asked.grammar {
            WantsGrammar::OfOptionalCalls if !tool.strict => Unsupported::Widen,
            _ => tool_calls::promise(asked.tools, tool),
        };
        for arguments in [held::Arguments::Whole, held::Arguments::Each] {
            let stood_in = held::stood_in(functions, &schemas, arguments);
            let stood_in = self.llama(asked, &stood_in, asked.choice());
            let Ok(FromTemplate { grammar, .. }) = stood_in else { continue };
            let grammar = held::with_schemas(grammar, &held, arguments, unsupported);
            let Some(grammar) = grammar.map_err(Refused::Field)? else { continue };
            rendered.grammar = grammar;
            if arguments == held::Arguments::Each {
                let told_apart = held::told_apart(functions, &schemas);
                rendered.format = self.llama(asked, &told_apart, asked.choice())?.format;
            }
            return Ok(());
        }
        match offered.iter().find(|tool| tool.strict) {
            Some(tool) => Err(Refused::Field(held::without_place(asked.tools, tool))),
            None => Ok(()),
        }
    }

    /// What llama.cpp makes of the conversation, with a constant for the schema of the answer.
    fn llama(
        &self,
        asked: &Conversation<'_>,
        functions: &[Value],
        choice: &str,
    ) -> Result<FromTemplate, String> {
        let schema = asked.schema.map(|_| held::answer().to_string());
        self.llama_with(asked, functions, choice, schema.as_deref().unwrap_or_default())
    }

    fn llama_with(
        &self,
        asked: &Conversation<'_>,
        functions: &[Value],
        choice: &str,
        schema: &str,
    ) -> Result<FromTemplate, String> {
        let Conversation { messages, tools, reasoning, continues, arguments, .. } = *asked;
        let mut arguments = arguments.0.clone();
        if let Some(effort) = reasoning.effort.as_deref().filter(|_| self.mentions(EFFORT)) {
            arguments.entry(EFFORT).or_insert(Value::from(effort));
        }
        for (name, value) in &self.defaults.0 {
            // What a request says of its reasoning is its own word too.
            if name != THINKING || reasoning.enabled.is_none() {
                arguments.entry(name.as_str()).or_insert_with(|| value.clone());
            }
        }
        arguments.entry(KEPT_REASONING).or_insert(Value::Bool(true));
        let thinks = reasoning.enabled.unwrap_or(self.thinks);
        let request = json!({
            "messages": messages::of(messages, self.ids),
            "tools": functions,
            "tool_choice": choice,
            // An answer that may hold one call is ended behind it, and a grammar holds one that must be a call.
            "parallel_tool_calls": !(tools.are_forced() && tools.single),
            THINKING: arguments.get(THINKING).and_then(Value::as_bool).unwrap_or(thinks),
            "json_schema": schema,
            "continue_final_message": continues,
            "template_arguments": arguments,
        });
        let rendered = self.recent.result(request.to_string(), clock::now(), |request| {
            self.templates.render(request).map_err(|error| explain(&error))
        });
        let mut rendered: FromTemplate = from_json(&rendered?)?;
        rendered.format.continues = continues;
        Ok(rendered)
    }
}

impl Conversation<'_> {
    /// Whether the model must call, as llama.cpp has it.
    fn choice(&self) -> &'static str {
        match (self.tools.are_shown(), self.tools.are_forced()) {
            (false, _) => "none",
            (true, true) => "required",
            (true, false) => "auto",
        }
    }

    /// Whether somebody relies on the arguments of a call.
    fn promises(&self, offered: &[Tool]) -> bool {
        self.grammar != WantsGrammar::No
            && (self.tools.are_forced() || offered.iter().any(|tool| tool.strict))
    }
}

impl FromTemplate {
    /// The grammar of the answer, or of the calls in it.
    fn answer_grammar(&self) -> Option<AnswerGrammar> {
        let text = self.grammar.clone();
        let begins = if self.grammar_lazy {
            Begins::AtCall(self.format.calls())
        } else {
            Begins::AtOnce(self.format.generation_prompt.clone())
        };
        (!text.is_empty()).then_some(AnswerGrammar { text, begins })
    }

    /// Has calls of `tools` read out of the content in `format`, and forced in it where they must be.
    fn read_as(
        mut self,
        format: ToolFormat,
        asked: &Conversation<'_>,
        tools: Tools,
    ) -> Result<Rendered, Refused> {
        let otherwise = asked.schema.map(|schema| schema.gbnf.as_str());
        let is_held = tools.are_forced() || otherwise.is_some();
        let mut grammar = None;
        if is_held || tools.offered.iter().any(|tool| tool.strict) {
            let text = tool_calls::force(format, &tools, otherwise).map_err(Refused::Field)?;
            let begins = if is_held {
                // What must have a format has no thoughts.
                self.format = OutputFormat::default();
                Begins::AtOnce(String::new())
            } else {
                let words = tool_calls::marks(format).iter().take(1).map(|mark| (*mark).to_owned()).collect();
                Begins::AtCall(Calls { words, patterns: Vec::new(), ..self.format.calls() })
            };
            grammar = Some(AnswerGrammar { text, begins });
        }
        self.format.preserved_tokens.extend(tool_calls::marks(format).iter().map(|mark| (*mark).to_owned()));
        self.format.own = Some((format, tools.offered.clone()));
        Ok(self.told(grammar, &tools))
    }

    fn told(self, grammar: Option<AnswerGrammar>, tools: &Tools) -> Rendered {
        let Self { prompt, stops, mut format, .. } = self;
        // An answer that must have a form has no reasoning.
        let is_free = grammar.as_ref().is_none_or(|grammar| matches!(grammar.begins, Begins::AtCall(_)));
        let is_unknown = is_free && format.thinking_start.is_empty();
        format.inline_reasoning = is_unknown.then(|| reasoning::is_prefilled(&prompt));
        format.calls = match tools.are_shown() {
            false => AllowedCalls::None,
            true if tools.single => AllowedCalls::One,
            true => AllowedCalls::Any,
        };
        Rendered { prompt, grammar, stops, format }
    }
}

impl OutputFormat {
    /// What calls begin with, for a grammar that waits for one.
    fn calls(&self) -> Calls {
        let of_kind = |kind| {
            let triggers = self.grammar_triggers.iter().filter(move |trigger| trigger.kind == kind);
            triggers.map(|trigger| trigger.value.clone())
        };
        let whole = of_kind(Trigger::WHOLE).map(|pattern| format!("^(?:{pattern})$"));
        let start = self.thinking_start.clone();
        Calls {
            words: of_kind(Trigger::WORD).collect(),
            patterns: of_kind(Trigger::PATTERN).chain(whole).collect(),
            is_thinking: !start.is_empty() && self.generation_prompt.trim_end().ends_with(&start),
            thinking_start: start,
            thinking_ends: self.thinking_ends.clone(),
        }
    }

    /// The tags of the model's reasoning; empty where it has none that are known.
    #[must_use]
    pub fn reasoning_tags(&self) -> ReasoningTags {
        if let Some(is_prefilled) = self.inline_reasoning {
            let (start, end) = (reasoning::REASONING_START.to_owned(), reasoning::REASONING_END.to_owned());
            return ReasoningTags { start, ends: vec![end], is_prefilled };
        }
        let start = self.thinking_start.clone();
        let is_prefilled = !start.is_empty() && self.generation_prompt.trim_end().ends_with(start.trim_end());
        ReasoningTags { start, ends: self.thinking_ends.clone(), is_prefilled }
    }

    /// Bytes with which what is not content may begin; nothing where that cannot be told.
    fn marks(&self) -> Option<[bool; 256]> {
        if self.grammar_triggers.iter().any(|trigger| trigger.kind != Trigger::WORD) {
            return None;
        }
        if self.calls != AllowedCalls::None && self.grammar_triggers.is_empty() && self.own.is_none() {
            return None;
        }
        let mut marks = [false; 256];
        let triggers = self.grammar_triggers.iter().map(|trigger| &trigger.value);
        let texts = triggers.chain(&self.preserved_tokens).chain(&self.thinking_ends);
        for text in texts.chain([&self.thinking_start]) {
            text.trim_start().bytes().next().into_iter().for_each(|byte| marks[usize::from(byte)] = true);
        }
        for byte in *b"<[{`\n" {
            marks[usize::from(byte)] = true;
        }
        Some(marks)
    }
}

/// One line: what llama.cpp says is wrong with a template or its use, and where.
fn explain(error: &str) -> String {
    let what = error.rsplit("Error: ").next().unwrap_or(error).trim();
    let what = what.strip_prefix("Jinja Exception: ").unwrap_or(what);
    let line = error.rsplit(" at line ").next().filter(|_| error.contains(" at line "));
    let line = line.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    match line {
        Some(line) if !line.is_empty() => format!("{what} (line {line} of the template)"),
        _ => what.to_owned(),
    }
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("llama.cpp told something else: {error}"))
}
