//! Items as a whole: which stay, under which name, with which documentation, in which order.

use std::collections::HashMap;

use proc_macro2::Ident;
use syn::{
    Attribute, Item, ItemImpl, ItemMod, LitStr, Type, parse_quote,
    visit_mut::{self, VisitMut},
};

use super::Counts;
use crate::catalog::{Catalog, Entry, Fate, Rank, Section};

/// Sorts out a module and those in it. `path` is where it is.
pub(super) fn module(module: &mut ItemMod, path: &mut Vec<String>, catalog: &Catalog, counts: &mut Counts) {
    path.push(module.ident.to_string());
    let here = Here { path: path.clone(), catalog };
    if let Some((_, items)) = &mut module.content {
        let before = items.len();
        items.retain(|item| here.stays(item));
        counts.dropped += before - items.len();
        rename(items, &here, counts);
        let mut kept = std::mem::take(items);
        for item in &mut kept {
            match item {
                Item::Mod(inner) => self::module(inner, path, catalog, counts),
                item => here.document(item),
            }
        }
        let errors: Vec<Item> = kept.iter().filter_map(|item| here.error_impls(item)).flatten().collect();
        kept.extend(errors);
        kept.sort_by_key(|item| here.order(item));
        *items = kept;
    }
    path.pop();
}

/// The catalog as one module sees it.
struct Here<'a> {
    path: Vec<String>,
    catalog: &'a Catalog,
}

impl Here<'_> {
    fn entry(&self, name: &str) -> Option<&Entry> {
        self.catalog.get(&(self.path.clone(), name.to_owned()))
    }

    /// What goes: what the catalog says, and the empty trait that pilota-build writes for a service before
    /// our code.
    fn stays(&self, item: &Item) -> bool {
        match item {
            Item::Trait(item) => !(item.items.is_empty() && item.supertraits.is_empty()),
            // No call starts from an empty result.
            Item::Impl(imp) if is_default(imp) => {
                self.entry_of(item).is_none_or(|entry| entry.fate == Fate::Stays)
            }
            _ => self.entry_of(item).is_none_or(|entry| entry.fate != Fate::Goes),
        }
    }

    fn entry_of(&self, item: &Item) -> Option<&Entry> {
        self.entry(&subject(item)?)
    }

    /// Types as in the IDL, services, wrappers, and last how all of them travel, which nobody reads.
    fn order(&self, item: &Item) -> (bool, Rank, bool) {
        let rank = self.entry_of(item).map_or(Rank(Section::Unknown, 0), |entry| entry.rank);
        let is_wire = matches!(item, Item::Impl(item) if is_message(item));
        // A service's items were written in the order in which one reads them.
        (is_wire, rank, matches!(item, Item::Impl(_)) && rank.0 != Section::Services)
    }

    fn document(&self, item: &mut Item) {
        let Some(entry) = self.entry_of(item) else { return };
        match (attributes(item), entry.rank.0) {
            (Some(attrs), Section::Wrappers) => attrs.insert(0, parse_quote!(#[doc(hidden)])),
            (Some(attrs), Section::Types) => drop(attrs.splice(0..0, docs(&entry.docs))),
            // A service's code comes with its documentation.
            _ => {}
        }
        for (attrs, lines) in member_attributes(item).into_iter().zip(&entry.member_docs) {
            attrs.splice(0..0, docs(lines));
        }
    }

    /// An exception is an error in Rust too.
    fn error_impls(&self, item: &Item) -> Option<[Item; 2]> {
        let Item::Struct(exception) = item else { return None };
        self.entry_of(item).filter(|entry| entry.is_exception)?;
        let name = &exception.ident;
        let display = parse_quote! {
            impl ::core::fmt::Display for #name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Debug::fmt(self, f)
                }
            }
        };
        Some([display, parse_quote!(impl ::core::error::Error for #name {})])
    }
}

/// Gives wrappers the name that they keep, wherever it stands.
fn rename(items: &mut [Item], here: &Here<'_>, counts: &mut Counts) {
    let renamed = here.catalog.iter().filter(|(key, _)| key.0 == here.path);
    let names: HashMap<String, String> = renamed
        .filter_map(|((_, name), entry)| match &entry.fate {
            Fate::Becomes(new) => Some((name.clone(), new.clone())),
            _ => None,
        })
        .collect();
    counts.renamed += names.len();
    for item in items.iter_mut().filter(|item| subject(item).is_some_and(|name| names.contains_key(&name))) {
        Rename { names: &names }.visit_item_mut(item);
    }
}

struct Rename<'a> {
    names: &'a HashMap<String, String>,
}

impl VisitMut for Rename<'_> {
    fn visit_ident_mut(&mut self, ident: &mut Ident) {
        if let Some(new) = self.names.get(&ident.to_string()) {
            *ident = Ident::new(new, ident.span());
        }
    }

    /// The struct's name for protocols that write it.
    fn visit_lit_str_mut(&mut self, text: &mut LitStr) {
        if let Some(new) = self.names.get(&text.value()) {
            *text = LitStr::new(new, text.span());
        }
    }

    /// The struct's name in messages.
    fn visit_macro_mut(&mut self, m: &mut syn::Macro) {
        super::facade::in_macro(m, |arguments| {
            for argument in arguments {
                if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = argument {
                    let quoted = |text: String, (old, new): (&String, &String)| {
                        text.replace(&format!("`{old}`"), &format!("`{new}`"))
                    };
                    *text = LitStr::new(&self.names.iter().fold(text.value(), quoted), text.span());
                }
            }
        });
        visit_mut::visit_macro_mut(self, m);
    }
}

/// The name of what an item defines or implements something for.
fn subject(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Impl(item) => return impl_subject(item),
        _ => return None,
    })
}

/// `impl From<Color> for i32` is about `Color`.
fn impl_subject(item: &ItemImpl) -> Option<String> {
    match type_name(&item.self_ty) {
        Some(name) if name != "i32" => Some(name),
        _ => {
            let (_, path, _) = item.trait_.as_ref()?;
            let syn::PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else {
                return None;
            };
            match arguments.args.first()? {
                syn::GenericArgument::Type(ty) => type_name(ty),
                _ => None,
            }
        }
    }
}

/// The last segment of a path type.
pub(super) fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// Whether it is how a type travels.
pub(super) fn is_message(item: &ItemImpl) -> bool {
    let Some((_, path, _)) = &item.trait_ else { return false };
    path.segments.iter().rev().map(|segment| segment.ident.to_string()).take(2).eq(["Message", "thrift"])
}

fn is_default(item: &ItemImpl) -> bool {
    let Some((_, path, _)) = &item.trait_ else { return false };
    path.segments.last().is_some_and(|segment| segment.ident == "Default")
}

fn attributes(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    match item {
        Item::Struct(item) => Some(&mut item.attrs),
        Item::Enum(item) => Some(&mut item.attrs),
        Item::Const(item) => Some(&mut item.attrs),
        Item::Static(item) => Some(&mut item.attrs),
        _ => None,
    }
}

/// The attributes of fields, of variants, or of the constants that stand for an enum's values.
fn member_attributes(item: &mut Item) -> Vec<&mut Vec<Attribute>> {
    match item {
        Item::Struct(item) => {
            item.fields.iter_mut().filter(|f| f.ident.is_some()).map(|f| &mut f.attrs).collect()
        }
        Item::Enum(item) => item.variants.iter_mut().map(|variant| &mut variant.attrs).collect(),
        Item::Impl(item) if item.trait_.is_none() => {
            let constant = |item| match item {
                &mut syn::ImplItem::Const(ref mut constant) => Some(&mut constant.attrs),
                _ => None,
            };
            item.items.iter_mut().filter_map(constant).collect()
        }
        _ => Vec::new(),
    }
}

fn docs(lines: &[String]) -> Vec<Attribute> {
    let line = |line: &String| {
        let line = if line.is_empty() { String::new() } else { format!(" {line}") };
        parse_quote!(#[doc = #line])
    };
    lines.iter().map(line).collect()
}
