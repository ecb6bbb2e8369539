//! The model's own chat template: compiled once, rendered as the Python library it was written for would.
//! A template that cannot be rendered is an error that says so; nothing is guessed in its place.

use adapter_api::Message;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value, context};

mod json;
mod time;

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

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special: SpecialTexts,
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
        environment.add_template_owned(NAME, source).map_err(|error| explain(&error))?;
        Ok(Self { environment, special })
    }

    /// The text of a conversation, with the start of the model's turn at its end.
    ///
    /// # Errors
    /// What the template refused or could not do.
    pub fn render(&self, messages: &[Message]) -> Result<String, String> {
        let turns: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let template = self.environment.get_template(NAME).expect("added when compiled");
        template
            .render(context! {
                messages => turns,
                add_generation_prompt => true,
                bos_token => self.special.bos.as_str(),
                eos_token => self.special.eos.as_str(),
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
