//! Emits the types and the client, and makes them readable.

use anyhow::Context;
use proc_macro2::TokenStream;
use progenitor_impl::{GenerationSettings, Generator, TypeImpl, TypePatch};
use quote::ToTokens;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, Expr, ExprLit, ExprMatch, Field, Fields, ImplItem, Item, ItemImpl, ItemStruct, Lit, Meta, Pat,
};

use crate::document::Document;

/// What a generated file begins with, after its first line.
pub(crate) const HEAD: &str =
    "//! Generated from `contracts/openapi` by `cargo xtask regen-openapi`; changes belong there.\n\n";

/// The types of the wire.
pub(crate) fn types(document: &Document) -> anyhow::Result<String> {
    let mut settings = GenerationSettings::new();
    let comparable = TypePatch::default().with_derive("PartialEq").to_owned();
    for (name, schema) in document.schemas() {
        if schema["type"] == "object" {
            settings.with_patch(name, &comparable);
        }
    }
    let mut generator = Generator::new(&settings);
    generator.generate_tokens(&document.for_generators()?).context("the types cannot be generated")?;
    let tokens = generator.get_type_space().to_stream();
    print("//! The types of the wire.\n", document, tokens)
}

/// The client. Each of its types is replaced by the one of the same name in `api_types`, so that its own
/// module of types has nothing in it and goes.
pub(crate) fn client(document: &Document) -> anyhow::Result<String> {
    let mut settings = GenerationSettings::new();
    for name in document.schemas().keys() {
        let path = format!("::api_types::{name}");
        settings.with_replacement(name, path, [TypeImpl::Display, TypeImpl::FromStr].into_iter());
    }
    let tokens = Generator::new(&settings)
        .generate_tokens(&document.for_generators()?)
        .context("the client cannot be generated")?;
    let mut file: syn::File = syn::parse2(tokens).context("the generated client does not parse")?;
    file.items.retain(
        |item| !matches!(item, Item::Mod(module) if module.ident == "types" || module.ident == "prelude"),
    );
    print("//! The client.\n", document, file.into_token_stream())
}

/// Formats generated tokens as a file that begins with `title`.
pub(crate) fn print(title: &str, document: &Document, tokens: TokenStream) -> anyhow::Result<String> {
    let mut file: syn::File = syn::parse2(tokens).context("the generated code does not parse")?;
    Polish { document }.visit_file_mut(&mut file);
    Ok(format!("{title}{HEAD}{}", prettyplease::unparse(&file)))
}

/// Makes generated code say what a reader and a caller need: fields in the order of the YAML, parse errors
/// that list what would be right; without the schema repeated under each type, without blanket `allow`s, and
/// without a constructor that is a trap.
struct Polish<'a> {
    document: &'a Document,
}

impl VisitMut for Polish<'_> {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.retain(|attribute| !attribute.path().is_ident("allow"));
        attributes.iter_mut().for_each(shorten_doc);
    }

    fn visit_item_struct_mut(&mut self, item: &mut ItemStruct) {
        syn::visit_mut::visit_item_struct_mut(self, item);
        let order = self.document.field_order(&item.ident.to_string());
        if let Fields::Named(fields) = &mut item.fields
            && !order.is_empty()
        {
            let mut sorted: Vec<_> = std::mem::take(&mut fields.named).into_iter().collect();
            let place =
                |field: &Field| order.iter().position(|name| field.ident.as_ref().is_some_and(|i| i == name));
            sorted.sort_by_key(place);
            fields.named = sorted.into_iter().collect();
        }
    }

    fn visit_item_impl_mut(&mut self, item: &mut ItemImpl) {
        // `Client::new` panics where TLS cannot be set up, and cuts a stream off after 15 s.
        item.items.retain(|item| !matches!(item, ImplItem::Fn(function) if function.sig.ident == "new"));
        syn::visit_mut::visit_item_impl_mut(self, item);
    }

    fn visit_expr_match_mut(&mut self, expr: &mut ExprMatch) {
        let values: Vec<String> = expr.arms.iter().filter_map(|arm| literal(&arm.pat)).collect();
        let last = expr.arms.last_mut().filter(|arm| matches!(arm.pat, Pat::Wild(_)) && !values.is_empty());
        if let Some(arm) = last {
            let right = values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
            let message = format!("`{{value}}` is not one of {right}");
            *arm.body = syn::parse_quote!(Err(format!(#message).into()));
        }
        syn::visit_mut::visit_expr_match_mut(self, expr);
    }
}

/// The text of a pattern that is a string literal.
fn literal(pattern: &Pat) -> Option<String> {
    match pattern {
        Pat::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

fn shorten_doc(attribute: &mut Attribute) {
    if !attribute.path().is_ident("doc") {
        return;
    }
    if let Meta::NameValue(doc) = &mut attribute.meta
        && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &mut doc.value
    {
        let before = text.value();
        let kept = before.split("<details>").next().expect("a split has a first part").trim_end();
        *text = syn::LitStr::new(kept, text.span());
    }
}
