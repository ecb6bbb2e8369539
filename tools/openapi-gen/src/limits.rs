//! Emits the limits and defaults of requests as constants, so that whoever checks them has no number of
//! its own.
//!
//! | in the YAML | constant |
//! |---|---|
//! | `minimum` and `maximum` of `ctx` | `CTX: RangeInclusive<u32>` |
//! | an exclusive minimum of `top_p` | `TOP_P_ABOVE: f32` and `TOP_P_MOST: f32` |
//! | `minLength` and `maxLength` of `model_ref` | `MODEL_REF_CHARS: RangeInclusive<usize>` |
//! | `minItems` and `maxItems` of `stop` | `STOP_ITEMS: RangeInclusive<usize>` |
//! | lengths of the items of `stop` | `STOP_ITEM_CHARS: RangeInclusive<usize>` |
//! | `default` of `top_k` | `TOP_K_DEFAULT: u32` |

use anyhow::{Context, ensure};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use serde_json::{Map, Value};

use crate::document::Document;

/// What the name of a list's entry ends in.
const ITEM: &str = "_item";

/// The file of limits: a module for each schema of a request, which is one that takes no unknown field.
pub(crate) fn emit(document: &Document) -> anyhow::Result<String> {
    let requests = document.schemas().iter().filter(|(_, schema)| schema["additionalProperties"] == false);
    let modules = requests.map(|(name, schema)| module(name, schema)).collect::<anyhow::Result<Vec<_>>>()?;
    let tokens = quote! { #(#modules)* };
    crate::emit::print("//! Limits and defaults of requests.\n", document, tokens)
}

fn module(name: &str, schema: &Value) -> anyhow::Result<TokenStream> {
    let properties = schema["properties"].as_object().context("a request has properties")?;
    let mut constants = Vec::new();
    for (field, property) in properties {
        let property = property.as_object().with_context(|| format!("`{name}.{field}` is no schema"))?;
        constants.extend(of_field(field, property).with_context(|| format!("`{name}.{field}`"))?);
    }
    let module = format_ident!("{}", snake_case(name));
    let about = format!("Of `{name}`.");
    Ok(if constants.is_empty() {
        TokenStream::new()
    } else {
        quote! { #[doc = #about] pub mod #module { #(#constants)* } }
    })
}

fn of_field(field: &str, schema: &Map<String, Value>) -> anyhow::Result<Vec<TokenStream>> {
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => of_number(field, schema),
        Some("string") => lengths(field, "CHARS", schema.get("minLength"), schema.get("maxLength")),
        Some("array") => {
            let mut constants = lengths(field, "ITEMS", schema.get("minItems"), schema.get("maxItems"))?;
            if let Some(items) = schema["items"].as_object() {
                constants.extend(of_field(&format!("{field}{ITEM}"), items)?);
            }
            Ok(constants)
        }
        _ => Ok(Vec::new()),
    }
}

fn of_number(field: &str, schema: &Map<String, Value>) -> anyhow::Result<Vec<TokenStream>> {
    let (ty, is_float) = match schema.get("format").and_then(Value::as_str) {
        Some("float") => (quote!(f32), true),
        Some("double") => (quote!(f64), true),
        Some("uint32") => (quote!(u32), false),
        Some("uint64") => (quote!(u64), false),
        Some("int32") => (quote!(i32), false),
        other => anyhow::bail!("has format {other:?}: use float, double, int32, uint32 or uint64"),
    };
    let number = |value: &Value| if is_float { float(value) } else { integer(value) };
    let upper = field.to_uppercase();
    let mut constants = Vec::new();
    let exclusive = schema.get("exclusiveMinimum").is_some_and(|exclusive| exclusive == true);
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        let (least, most) = (number(least)?, number(most)?);
        if exclusive {
            let (above_name, most_name) = (format_ident!("{upper}_ABOVE"), format_ident!("{upper}_MOST"));
            let above_doc = format!("`{field}` is more than this.");
            let most_doc = format!("The most that `{field}` may be.");
            constants.push(quote! { #[doc = #above_doc] pub const #above_name: #ty = #least; });
            constants.push(quote! { #[doc = #most_doc] pub const #most_name: #ty = #most; });
        } else {
            let (name, doc) = (format_ident!("{upper}"), format!("What `{field}` may be."));
            constants.push(quote! {
                #[doc = #doc] pub const #name: ::std::ops::RangeInclusive<#ty> = #least..=#most;
            });
        }
    }
    if let Some(default) = schema.get("default") {
        let (name, value) = (format_ident!("{upper}_DEFAULT"), number(default)?);
        let doc = format!("What `{field}` is when it is left out.");
        constants.push(quote! { #[doc = #doc] pub const #name: #ty = #value; });
    }
    Ok(constants)
}

/// How many characters or entries there may be. Without a most there is only the body's own limit.
fn lengths(
    field: &str,
    what: &str,
    least: Option<&Value>,
    most: Option<&Value>,
) -> anyhow::Result<Vec<TokenStream>> {
    let least = least.map_or(Ok(Literal::u64_unsuffixed(0)), integer_literal)?;
    let name = format_ident!("{}_{what}", field.to_uppercase());
    let what = if what == "CHARS" { "characters" } else { "entries" };
    let whose = match field.strip_suffix(ITEM) {
        Some(list) => format!("an entry of `{list}`"),
        None => format!("`{field}`"),
    };
    let doc = format!("How many {what} {whose} may have.");
    Ok(match most {
        Some(most) => {
            let most = integer_literal(most)?;
            vec![
                quote! { #[doc = #doc] pub const #name: ::std::ops::RangeInclusive<usize> = #least..=#most; },
            ]
        }
        None => Vec::new(),
    })
}

fn integer(value: &Value) -> anyhow::Result<TokenStream> {
    match value.as_i64().filter(|number| *number < 0) {
        Some(number) => {
            let size = Literal::u64_unsuffixed(number.unsigned_abs());
            Ok(quote!(-#size))
        }
        None => integer_literal(value).map(|literal| quote!(#literal)),
    }
}

fn integer_literal(value: &Value) -> anyhow::Result<Literal> {
    value
        .as_u64()
        .map(Literal::u64_unsuffixed)
        .with_context(|| format!("{value} is not a whole number from 0"))
}

fn float(value: &Value) -> anyhow::Result<TokenStream> {
    let number = value.as_f64().with_context(|| format!("{value} is not a number"))?;
    ensure!(number.is_finite(), "{value} is not finite");
    let size = Literal::f64_unsuffixed(number.abs());
    Ok(if number < 0.0 { quote!(-#size) } else { quote!(#size) })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}
