//! The texts of all tokens, read off the model once: a lookup a token afterwards, and no call into C.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

/// What is known of each token.
#[derive(Debug)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each token's text ends in `bytes`.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// The texts of those that have none in an answer.
    special: HashMap<i32, Vec<u8>>,
    /// The same, by their texts.
    by_name: HashMap<Vec<u8>, i32>,
    /// Bytes of text that one token stands for at most; nothing where text can vanish on its way to tokens.
    longest: Option<usize>,
    /// Made for the first grammar.
    sorted: OnceLock<Vec<Sorted>>,
}

/// A token in the order of names.
#[derive(Clone, Copy, Debug)]
pub struct Sorted {
    /// The token.
    pub token: i32,
    /// Bytes at the start of its name that are those of the one before it.
    pub shared: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Control,
    EndOfAnswer,
}

/// Special tokens whose texts are part of an answer: they frame what the model thinks, says and calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Arc<[i32]>);

impl Marks {
    /// Whether `token` is one of them.
    #[must_use]
    pub fn contains(&self, token: i32) -> bool {
        self.0.binary_search(&token).is_ok()
    }
}

impl Vocabulary {
    /// Reads the model's vocabulary.
    #[must_use]
    pub fn of(model: &LlamaModel) -> Self {
        let vocab = model.vocab();
        let mut texts = Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            kinds: Vec::new(),
            special: HashMap::new(),
            by_name: HashMap::new(),
            longest: None,
            sorted: OnceLock::new(),
        };
        let mut longest = 1;
        for token in vocab.tokens() {
            let (plain, whole) =
                (vocab.token_to_piece(token, false, None), vocab.token_to_piece(token, true, None));
            texts.bytes.extend_from_slice(&plain);
            texts.ends.push(u32::try_from(texts.bytes.len()).expect("a vocabulary is smaller than 4 GiB"));
            longest = longest.max(whole.len());
            if plain.is_empty() {
                texts.by_name.insert(whole.clone(), token.0);
                texts.special.insert(token.0, whole);
            }
            texts.kinds.push(if vocab.is_eog(token) {
                Kind::EndOfAnswer
            } else if vocab.is_control(token) {
                Kind::Control
            } else {
                Kind::Text
            });
        }
        // Others drop characters or fold white space first.
        let keeps_all = matches!(model.meta_val_str("tokenizer.ggml.model").as_deref(), Ok("gpt2" | "llama"));
        texts.longest = keeps_all.then_some(longest);
        texts
    }

    /// Tokens that a text of so many bytes takes at least.
    #[must_use]
    pub fn least_tokens(&self, bytes: usize) -> usize {
        self.longest.map_or(0, |longest| bytes / longest)
    }

    /// All tokens.
    pub fn tokens(&self) -> impl Iterator<Item = i32> + use<> {
        0..i32::try_from(self.len()).expect("tokens are numbered in 31 bits")
    }

    /// All tokens that have a name and do not end an answer, in the order of their names.
    pub fn sorted(&self) -> &[Sorted] {
        self.sorted.get_or_init(|| {
            let mut tokens: Vec<i32> = self
                .tokens()
                .filter(|token| !self.name(*token).is_empty() && !self.ends_answer(*token))
                .collect();
            tokens.sort_by_key(|token| self.name(*token));
            let mut before: &[u8] = &[];
            let entry = |token: i32| {
                let name = self.name(token);
                let shared = name.iter().zip(before).take_while(|(a, b)| a == b).count();
                before = name;
                Sorted { token, shared }
            };
            tokens.into_iter().map(entry).collect()
        })
    }

    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether `token` is one of the vocabulary.
    #[must_use]
    pub fn contains(&self, token: i32) -> bool {
        usize::try_from(token).is_ok_and(|token| token < self.len())
    }

    /// The bytes `token` adds to an answer; none for a control token.
    #[must_use]
    pub fn text(&self, token: i32) -> &[u8] {
        let Some(token) = usize::try_from(token).ok().filter(|token| *token < self.len()) else { return &[] };
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[token] as usize]
    }

    /// The bytes `token` adds to an answer in which `marks` stand as text.
    #[must_use]
    pub fn text_with(&self, marks: &Marks, token: i32) -> &[u8] {
        if marks.contains(token) { self.name(token) } else { self.text(token) }
    }

    /// The special tokens that are called one of `names`.
    #[must_use]
    pub fn marks(&self, names: &[String]) -> Marks {
        let mut tokens: Vec<i32> =
            names.iter().filter_map(|name| self.by_name.get(name.as_bytes())).copied().collect();
        tokens.sort_unstable();
        Marks(tokens.into())
    }

    /// The tokens in whose text one of `texts` stands.
    #[must_use]
    pub fn with_any<T: AsRef<str>>(&self, texts: &[T]) -> Vec<i32> {
        let holds = |bytes: &[u8], text: &str| {
            !text.is_empty() && bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        let has_one = |token: &i32| texts.iter().any(|text| holds(self.text(*token), text.as_ref()));
        self.tokens().filter(has_one).collect()
    }

    /// What `token` is called: its text, also where that is no part of an answer.
    #[must_use]
    pub fn name(&self, token: i32) -> &[u8] {
        self.special.get(&token).map_or_else(|| self.text(token), Vec::as_slice)
    }

    /// Whether `token` ends an answer.
    #[must_use]
    pub fn ends_answer(&self, token: i32) -> bool {
        self.kind(token) == Some(Kind::EndOfAnswer)
    }

    /// Whether `token` is one of those that steer the model and have no text.
    #[must_use]
    pub fn is_control(&self, token: i32) -> bool {
        self.kind(token) == Some(Kind::Control)
    }

    fn kind(&self, token: i32) -> Option<Kind> {
        self.kinds.get(usize::try_from(token).ok()?).copied()
    }
}

/// The tokens of `text`. Texts of special tokens in it are taken as those tokens, and the start-of-text
/// token is put before it where the model wants one and the text does not start with it.
#[must_use]
pub fn tokenize(model: &LlamaModel, text: &str) -> Vec<i32> {
    let vocab = model.vocab();
    let starts_already = vocab.should_add_bos() && {
        let bos = vocab.token_to_piece(vocab.bos(), true, None);
        !bos.is_empty() && text.as_bytes().starts_with(&bos)
    };
    vocab.tokenize(text.as_bytes(), !starts_already, true).into_iter().map(|LlamaToken(id)| id).collect()
}

/// The tokens of `text` in the middle of another: without the start-of-text token.
#[must_use]
pub fn tokenize_within(model: &LlamaModel, text: &str) -> Vec<i32> {
    model.vocab().tokenize(text.as_bytes(), false, true).into_iter().map(|LlamaToken(id)| id).collect()
}

/// The tokens of `text` in the middle of another, in which no special token is looked for.
#[must_use]
pub fn tokenize_plain(model: &LlamaModel, text: &str) -> Vec<i32> {
    model.vocab().tokenize(text.as_bytes(), false, false).into_iter().map(|LlamaToken(id)| id).collect()
}

/// The tokens of a query and a document, to be scored together: by the model's own template for it, or with its
/// marks between them (llama.cpp's server, `format_prompt_rerank`).
#[must_use]
pub fn pair(model: &LlamaModel, query: &str, document: &str) -> Vec<i32> {
    let vocab = model.vocab();
    let tokens = if let Ok(template) = model.meta_val_str("tokenizer.chat_template.rerank") {
        // In one pass, so that nothing in the query is taken for the place of the document.
        let (before, rest) = template.split_once("{query}").unwrap_or((&template, ""));
        let (between, after) = rest.split_once("{document}").unwrap_or((rest, ""));
        vocab.tokenize([before, query, between, document, after].concat().as_bytes(), false, true)
    } else {
        let mark = |wanted: bool, token: LlamaToken| (wanted && token.0 >= 0).then_some(token);
        let eos = if vocab.eos().0 >= 0 { vocab.eos() } else { vocab.sep() };
        let mut tokens: Vec<LlamaToken> = mark(vocab.should_add_bos(), vocab.bos()).into_iter().collect();
        tokens.extend(vocab.tokenize(query.as_bytes(), false, false));
        tokens.extend(mark(vocab.should_add_eos(), eos));
        tokens.extend(mark(vocab.should_add_sep(), vocab.sep()));
        tokens.extend(vocab.tokenize(document.as_bytes(), false, false));
        tokens.extend(mark(vocab.should_add_eos(), eos));
        tokens
    };
    tokens.into_iter().map(|LlamaToken(id)| id).collect()
}
