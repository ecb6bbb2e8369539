//! The agents that can be launched, and what each has to be told.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

/// The end of a model's name that puts its requests into the batch lane.
const BATCH_SUFFIX: &str = "@batch";

/// The most tokens of an answer that an agent is told to ask for.
const MOST_OUTPUT: u32 = 8192;

/// An agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Agent {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// opencode.
    Opencode,
    /// Qwen Code.
    Qwen,
    /// Aider.
    Aider,
    /// No program: the variables that most clients read, to be evaluated by a shell.
    Env,
}

/// A model as an agent gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name to ask for.
    pub name: String,
    /// The pool behind it.
    pub pool: String,
    /// Tokens of context, where they are known.
    pub ctx: Option<u32>,
}

/// What an agent is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    program: &'static str,
    variables: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    files: Vec<(PathBuf, String)>,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claude => "Claude Code",
            Self::Codex => "Codex",
            Self::Opencode => "opencode",
            Self::Qwen => "Qwen Code",
            Self::Aider => "Aider",
            Self::Env => "a client",
        })
    }
}

impl Agent {
    /// Its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::Qwen => "qwen",
            Self::Aider => "aider",
            Self::Env => "",
        }
    }

    /// How it is installed.
    pub const fn install(self) -> &'static str {
        match self {
            Self::Claude => "npm install -g @anthropic-ai/claude-code",
            Self::Codex => "npm install -g @openai/codex",
            Self::Opencode => "npm install -g opencode-ai",
            Self::Qwen => "npm install -g @qwen-code/qwen-code",
            Self::Aider => "pipx install aider-chat",
            Self::Env => "",
        }
    }

    /// About how many tokens its first request has, as measured.
    pub const fn instructions(self) -> u32 {
        match self {
            Self::Claude => 22_000,
            Self::Codex => 11_000,
            Self::Opencode => 7_500,
            Self::Qwen => 16_000,
            Self::Aider => 3_000,
            Self::Env => 0,
        }
    }

    /// The least context with which it gets anywhere: its instructions, a few files and an answer.
    pub const fn least_context(self) -> u32 {
        match self {
            Self::Claude | Self::Qwen => 32_768,
            Self::Codex | Self::Opencode => 16_384,
            Self::Aider => 8_192,
            Self::Env => 0,
        }
    }
}

impl Setup {
    /// What `agent` is told of `model` at `url`.
    pub fn new(agent: Agent, url: &str, token: &str, model: &Model) -> Self {
        let api = format!("{url}/v1");
        let small = format!("{}{BATCH_SUFFIX}", model.name);
        let setup = Self { program: agent.program(), ..Self::default() };
        match agent {
            Agent::Claude => setup.claude(url, token, model, &small),
            Agent::Codex => setup.codex(&api, token, model),
            Agent::Opencode => setup.opencode(&api, token, model, &small),
            Agent::Qwen => setup
                .with([("OPENAI_BASE_URL", api), ("OPENAI_API_KEY", token.to_owned())])
                .with([("OPENAI_MODEL", model.name.clone())])
                .arguments_of(["--auth-type", "openai", "--model", &model.name]),
            Agent::Aider => setup.aider(&api, token, model, &small),
            Agent::Env => setup
                .with([("OPENAI_BASE_URL", api.clone()), ("OPENAI_API_BASE", api)])
                .with([("OPENAI_API_KEY", token.to_owned()), ("OPENAI_MODEL", model.name.clone())])
                .with([("ANTHROPIC_BASE_URL", url.to_owned()), ("ANTHROPIC_AUTH_TOKEN", token.to_owned())])
                .with([("ANTHROPIC_MODEL", model.name.clone())]),
        }
    }

    fn claude(self, url: &str, token: &str, model: &Model, small: &str) -> Self {
        let name = || model.name.clone();
        self.with([("ANTHROPIC_BASE_URL", url.to_owned()), ("ANTHROPIC_AUTH_TOKEN", token.to_owned())])
            .with([("ANTHROPIC_MODEL", name()), ("ANTHROPIC_DEFAULT_OPUS_MODEL", name())])
            .with([("ANTHROPIC_DEFAULT_SONNET_MODEL", name()), ("CLAUDE_CODE_SUBAGENT_MODEL", name())])
            // Titles and summaries, which nobody waits for.
            .with([("ANTHROPIC_DEFAULT_HAIKU_MODEL", small.to_owned())])
            .with([("ANTHROPIC_SMALL_FAST_MODEL", small.to_owned())])
            .with([("CLAUDE_CODE_MAX_OUTPUT_TOKENS", output(model).to_string())])
            .with([("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned())])
            // It would begin each prompt with another text, so that none was found in the cache.
            .with([("CLAUDE_CODE_ATTRIBUTION_HEADER", "0".to_owned())])
    }

    fn codex(self, api: &str, token: &str, model: &Model) -> Self {
        let provider = |key: &str, value: &str| {
            ["-c".to_owned(), format!("model_providers.llama-orch.{key}={}", Value::from(value))]
        };
        let mut arguments = vec!["-m".to_owned(), model.name.clone()];
        arguments.extend(["-c".to_owned(), "model_provider=\"llama-orch\"".to_owned()]);
        arguments.extend(provider("name", "llama-orch"));
        arguments.extend(provider("base_url", api));
        arguments.extend(provider("env_key", "LLAMA_ORCH_TOKEN"));
        arguments.extend(provider("wire_api", "responses"));
        if let Some(ctx) = model.ctx {
            arguments.extend(["-c".to_owned(), format!("model_context_window={ctx}")]);
        }
        Self { arguments, ..self.with([("LLAMA_ORCH_TOKEN", token.to_owned())]) }
    }

    fn opencode(self, api: &str, token: &str, model: &Model, small: &str) -> Self {
        let described = |title: String| {
            let limit = model.ctx.map(|ctx| json!({"context": ctx, "output": output(model)}));
            let mut described = json!({"name": title});
            if let Some(limit) = limit {
                described["limit"] = limit;
            }
            described
        };
        let name = &model.name;
        let config = json!({
            "$schema": "https://opencode.ai/config.json",
            "provider": {"llama-orch": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "llama-orch",
                "options": {"baseURL": api, "apiKey": "{env:LLAMA_ORCH_TOKEN}"},
                "models": {
                    name: described(name.clone()),
                    small: described(format!("{name}, when there is time")),
                },
            }},
            "model": format!("llama-orch/{name}"),
            "small_model": format!("llama-orch/{small}"),
        });
        // Read over the user's own files, which keep what is not in it.
        self.with([("OPENCODE_CONFIG_CONTENT", config.to_string()), ("LLAMA_ORCH_TOKEN", token.to_owned())])
    }

    fn aider(self, api: &str, token: &str, model: &Model, small: &str) -> Self {
        let (main, weak) = (format!("openai/{}", model.name), format!("openai/{small}"));
        let mut setup = self
            .with([("OPENAI_API_BASE", api.to_owned()), ("OPENAI_API_KEY", token.to_owned())])
            .arguments_of(["--model", &main, "--weak-model", &weak]);
        if let (Some(ctx), Some(file)) = (model.ctx, cache().map(|folder| folder.join("aider-models.json"))) {
            let known = json!({
                "max_input_tokens": ctx, "max_output_tokens": output(model),
                "input_cost_per_token": 0, "output_cost_per_token": 0, "litellm_provider": "openai", "mode": "chat",
            });
            let all = json!({main: known, weak: known});
            setup.arguments.extend(["--model-metadata-file".to_owned(), file.display().to_string()]);
            setup.files.push((file, all.to_string()));
        }
        setup
    }

    fn with<const N: usize>(mut self, variables: [(&'static str, String); N]) -> Self {
        self.variables.extend(variables);
        self
    }

    fn arguments_of<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Variables of its environment.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Arguments before those of the user.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Files of ours that the arguments name.
    pub fn files(&self) -> impl Iterator<Item = (&std::path::Path, &str)> {
        self.files.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// The same as lines for a shell.
    pub fn to_shell(&self, rest: &[String]) -> String {
        let mut lines: Vec<String> =
            self.variables.iter().map(|(name, value)| format!("export {name}={}", quoted(value))).collect();
        lines.extend(self.files.iter().map(|(path, text)| {
            let path = quoted(&path.display().to_string());
            format!("mkdir -p \"$(dirname {path})\" && printf %s {} > {path}", quoted(text))
        }));
        if !self.program.is_empty() {
            let words = self.arguments.iter().chain(rest).map(|word| quoted(word));
            lines.push(std::iter::once(self.program.to_owned()).chain(words).collect::<Vec<_>>().join(" "));
        }
        lines.join("\n")
    }
}

/// Tokens of an answer that are asked for: a quarter of the context at most.
fn output(model: &Model) -> u32 {
    model.ctx.map_or(MOST_OUTPUT, |ctx| (ctx / 4).clamp(1, MOST_OUTPUT))
}

/// A folder for files that can be made again.
fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || named("HOME").map(|home| home.join(".cache"));
    named("XDG_CACHE_HOME").or_else(home).map(|folder| folder.join("llama-orch/launch"))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
