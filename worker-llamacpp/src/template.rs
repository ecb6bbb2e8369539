//! The model's own chat template: compiled once, rendered as the Python library it was written for would.
//! A template that cannot be rendered is an error that says so; nothing is guessed in its place.
//!
//! Tools are shown as the template shows them, where it is of a family whose calls can be read. Any other is
//! given them in words (`tool_calls::plain`): instructions in the system message, calls and results as text.

use std::collections::{BTreeMap, BTreeSet};

use adapter_api::{Message, Role, ToolFormat, Tools};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, merge_maps};
use minijinja::{Environment, Error, ErrorKind, Value, context};

mod json;
mod time;
mod turns;

/// Instructions a template may execute for one conversation: far more than any sensible one needs, and
/// an end for one that would never come to it.
const FUEL: u64 = 20_000_000;

const NAME: &str = "chat";

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

/// What every template is given, so that it is no argument of its own.
const GIVEN: [&str; 5] = ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"];

/// Arguments that a template knows beside the conversation (`enable_thinking`).
#[derive(Clone, Debug)]
pub struct Arguments(Value);

impl Default for Arguments {
    fn default() -> Self {
        Self(context! {})
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special: SpecialTexts,
    /// How its family writes calls; nothing where they are put in words.
    family: Option<ToolFormat>,
    content: Content,
    system: System,
}

/// How a template wants what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// As a text.
    Text,
    /// As a list of parts, of which text is one kind.
    Parts,
}

/// Whether a template shows a system message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Known,
    Unknown,
}

impl ChatTemplate {
    /// Compiles the template's text.
    ///
    /// # Errors
    /// What the template's author got wrong, with the line.
    pub fn compile(source: String, special: SpecialTexts) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| explain(&error))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| time::format(&format, time::now()));
        environment.add_filter("tojson", |value: Value, options: Kwargs| -> Result<String, Error> {
            let indent: Option<usize> = options.get("indent")?;
            // Sorting and escaping of other letters are the options templates pass besides; both only
            // change how the same value is written.
            let _ = options.get::<Option<Value>>("sort_keys");
            let _ = options.get::<Option<Value>>("ensure_ascii");
            let _ = options.get::<Option<Value>>("separators");
            options.assert_all_used()?;
            json::write(&value, indent)
        });
        let family = tool_calls::detect(&source);
        environment.add_template_owned(NAME, source).map_err(|error| explain(&error))?;
        let (content, system) = (Content::Text, System::Known);
        let mut template = Self { environment, special, family, content, system };
        if !template.shows(Role::User) {
            template.content = Content::Parts;
            if !template.shows(Role::User) {
                template.content = Content::Text;
            }
        }
        if !template.shows(Role::System) {
            template.system = System::Unknown;
        }
        Ok(template)
    }

    /// Whether what `role` says first comes out in the text.
    fn shows(&self, role: Role) -> bool {
        const WORD: &str = "zebra-crossing";
        let mut turns = vec![Message::new(role, WORD)];
        if role != Role::User {
            turns.push(Message::new(Role::User, "x"));
        }
        self.rendered(&turns, &Tools::default(), &Arguments::default()).is_ok_and(|text| text.contains(WORD))
    }

    /// How a model that is told of tools by this template writes its calls.
    #[must_use]
    pub fn tool_format(&self) -> ToolFormat {
        self.family.unwrap_or(ToolFormat::Hermes)
    }

    /// Whether its model was taught to write calls.
    #[must_use]
    pub fn is_taught_tools(&self) -> bool {
        self.family.is_some()
    }

    /// Reads arguments of the template's own out of the text of a JSON object.
    ///
    /// # Errors
    /// The first one that the template does not know, with those that it does.
    pub fn arguments(&self, text: &str) -> Result<Arguments, String> {
        let arguments: BTreeMap<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|error| format!("`{ARGUMENTS}` is no JSON object: {error}"))?;
        let known = self.known_arguments();
        if let Some(unknown) = arguments.keys().find(|name| !known.contains(*name)) {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!(
                "`{ARGUMENTS}.{unknown}` is not known to the model's chat template; it knows {known}"
            ));
        }
        Ok(Arguments(Value::from(Serde(arguments))))
    }

    /// What the template reads that nobody else gives it.
    fn known_arguments(&self) -> BTreeSet<String> {
        let template = self.environment.get_template(NAME).expect("added when compiled");
        let mut known: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
        for (name, _) in self.environment.globals() {
            known.remove(name);
        }
        GIVEN.iter().for_each(|given| {
            known.remove(*given);
        });
        known
    }

    /// The text of a conversation and its tools, with the start of the model's turn at its end.
    ///
    /// # Errors
    /// What the template refused or could not do.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &Tools,
        arguments: &Arguments,
    ) -> Result<String, String> {
        let in_words =
            self.family.is_none() && (tools.are_shown() || tool_calls::plain::speaks_of_tools(messages));
        if !in_words {
            return self.rendered(messages, tools, arguments);
        }
        let turns = tool_calls::plain::in_words(messages, tools)?;
        let turns = match self.system {
            System::Known => turns,
            System::Unknown => tool_calls::plain::without_system(turns),
        };
        self.rendered(&turns, &Tools::default(), arguments)
    }

    fn rendered(&self, messages: &[Message], tools: &Tools, arguments: &Arguments) -> Result<String, String> {
        let turns = turns::of(messages, self.content, self.tool_format());
        let shown =
            if tools.are_shown() { tool_calls::plain::functions(&tools.offered)? } else { Vec::new() };
        let tools = if shown.is_empty() {
            context! {}
        } else {
            context! { tools => Value::from(Serde(shown)) }
        };
        let template = self.environment.get_template(NAME).expect("added when compiled");
        template
            .render(context! {
                messages => turns,
                add_generation_prompt => true,
                bos_token => self.special.bos.as_str(),
                eos_token => self.special.eos.as_str(),
                ..merge_maps([tools, arguments.0.clone()]),
            })
            .map_err(|error| explain(&error))
    }
}

/// One line: what is wrong, and where.
fn explain(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    error.line().map_or_else(|| what.clone(), |line| format!("{what} (line {line} of the template)"))
}

#[cfg(test)]
mod tests;
