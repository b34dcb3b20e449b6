//! One `derive` for each type, in the order that people know, where pilota-build writes five.

use syn::{Attribute, Item, ItemMod, Meta, Path, Token, parse_quote, punctuated::Punctuated};

const ORDER: [&str; 9] =
    ["Clone", "Copy", "Debug", "Default", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash"];

pub(super) fn module(module: &mut ItemMod) {
    for item in module.content.iter_mut().flat_map(|(_, items)| items) {
        match item {
            Item::Mod(inner) => self::module(inner),
            Item::Struct(item) => merge(&mut item.attrs),
            Item::Enum(item) => merge(&mut item.attrs),
            _ => {}
        }
    }
}

fn merge(attrs: &mut Vec<Attribute>) {
    let Some(first) = attrs.iter().position(is_derive) else { return };
    let mut traits: Vec<Path> = attrs.iter().filter(|attr| is_derive(attr)).flat_map(derived).collect();
    traits.sort_by_key(|path| ORDER.iter().position(|known| path.is_ident(known)));
    attrs.retain(|attr| !is_derive(attr));
    attrs.insert(first, parse_quote!(#[derive(#(#traits),*)]));
}

fn is_derive(attr: &Attribute) -> bool {
    attr.path().is_ident("derive")
}

fn derived(attr: &Attribute) -> Vec<Path> {
    let Meta::List(list) = &attr.meta else { return Vec::new() };
    let traits = list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
    traits.map(|traits| traits.into_iter().collect()).unwrap_or_default()
}
