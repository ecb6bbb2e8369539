//! `logit_bias` in the forms that clients send: an object by token, `{"15": -100, " text": 1}`, or pairs,
//! `[[15, false], [" text", 1]]`, where `false` bans. A name that is no number is a text, each of whose tokens is meant.

use std::fmt;

use generation::{LogitBias, TextBias};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// The biases of tokens, and those of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LogitBiases {
    pub(super) tokens: Vec<LogitBias>,
    pub(super) texts: Vec<TextBias>,
}

/// What a bias is of.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a token's number or a text")]
enum Target {
    Token(i32),
    Text(String),
}

/// What is added to a logit; `false` bans, as the least number does.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or `false` to ban")]
enum Bias {
    Number(f32),
    Banned(Never),
}

/// `false`.
struct Never;

/// The least bias, which bans.
const BAN: f32 = *api_types::limits::logit_bias::BIAS.start();

impl LogitBiases {
    fn push(&mut self, target: Target, bias: &Bias) {
        let bias = match bias {
            Bias::Number(number) => *number,
            Bias::Banned(Never) => BAN,
        };
        match target {
            Target::Token(token) => self.tokens.push(LogitBias { token, bias }),
            Target::Text(text) => self.texts.push(TextBias { text, bias }),
        }
    }
}

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match bool::deserialize(from)? {
            false => Ok(Self),
            true => Err(serde::de::Error::custom("`true` is no bias")),
        }
    }
}

impl<'de> Deserialize<'de> for LogitBiases {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = LogitBiases;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of biases by token, or an array of pairs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut biases = LogitBiases::default();
                while let Some((name, bias)) = fields.next_entry::<String, Bias>()? {
                    let target = name.parse().map_or_else(|_| Target::Text(name), Target::Token);
                    biases.push(target, &bias);
                }
                Ok(biases)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
                let mut biases = LogitBiases::default();
                while let Some((target, bias)) = pairs.next_element::<(Target, Bias)>()? {
                    biases.push(target, &bias);
                }
                Ok(biases)
            }
        }

        from.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<LogitBiases, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn an_object_and_pairs_say_the_same_of_tokens_and_texts() {
        let tokens = vec![LogitBias { token: 15, bias: -100.0 }];
        let texts = vec![TextBias { text: " no".to_owned(), bias: 1.5 }];
        let both = LogitBiases { tokens, texts };
        assert_eq!(read(json!({"15": -100, " no": 1.5})).unwrap(), both);
        assert_eq!(read(json!([[15, false], [" no", 1.5]])).unwrap(), both);
        assert_eq!(read(json!([])).unwrap(), LogitBiases::default());
    }

    #[test]
    fn what_is_no_bias_is_refused() {
        for bad in [json!({"15": "much"}), json!([[15, true]]), json!([[1.5, 1]]), json!([15]), json!("15")] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
