//! Types of the IDL as Rust text. Owns the mapping of types; its table is in docs/idl.md.

use std::collections::HashSet;

use crate::{
    ast::{Field, ItemKind},
    layout::Layout,
    names::{self, Names},
    scope::{Id, Scope, Ty},
};

/// The path of the crate that generated code uses.
pub(crate) const LIB: &str = "::kitex::generated";

/// The input of all code templates.
pub(crate) struct Rust<'a> {
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) names: Names,
    pub(crate) layout: Layout<'a>,
}

impl<'a> Rust<'a> {
    pub(crate) fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, names: Names::new(scope), layout: Layout::new(scope) }
    }

    /// Returns a type as it is written in the module of the file `from`.
    pub(crate) fn ty(&self, from: usize, ty: &Ty) -> String {
        match ty {
            Ty::Bool => "bool".to_owned(),
            Ty::I8 => "i8".to_owned(),
            Ty::I16 => "i16".to_owned(),
            Ty::I32 => "i32".to_owned(),
            Ty::I64 => "i64".to_owned(),
            Ty::Double => "f64".to_owned(),
            Ty::Text(false) => format!("{LIB}::FastStr"),
            Ty::Text(true) => "::std::string::String".to_owned(),
            Ty::Binary(false) => format!("{LIB}::Bytes"),
            Ty::Binary(true) => "::std::vec::Vec<u8>".to_owned(),
            Ty::Uuid => "[u8; 16]".to_owned(),
            Ty::List(element) => format!("::std::vec::Vec<{}>", self.ty(from, element)),
            Ty::Set(element, _) => format!("{}<{}>", self.container(ty), self.ty(from, element)),
            Ty::Map(key, value, _) => {
                format!("{}<{}, {}>", self.container(ty), self.ty(from, key), self.ty(from, value))
            }
            Ty::Enum(id) | Ty::Struct(id) | Ty::Alias(id, _) => self.names.path(from, *id),
        }
    }

    /// Returns the path of the Rust set or map of a type.
    pub(crate) fn container(&self, ty: &Ty) -> String {
        let (key, is_btree, kind) = match ty {
            Ty::Set(element, is_btree) => (element, *is_btree, "Set"),
            Ty::Map(key, _, is_btree) => (key, *is_btree, "Map"),
            _ => return "::std::vec::Vec".to_owned(),
        };
        let family = match self.layout.is_hashable(key) {
            false => "Vec",
            true if is_btree => "BTree",
            true => "AHash",
        };
        format!("{LIB}::{family}{kind}")
    }

    /// Returns the type of a field of `owner`.
    pub(crate) fn field(&self, owner: Id, field: &Field) -> String {
        let slot = self.layout.slot(owner, field);
        let mut ty = self.ty(owner.0, &self.layout.field_ty(owner.0, field));
        if slot.boxed {
            ty = format!("::std::boxed::Box<{ty}>");
        }
        if slot.shared {
            ty = format!("::std::sync::Arc<{ty}>");
        }
        if slot.optional { format!("::core::option::Option<{ty}>") } else { ty }
    }
}

impl Rust<'_> {
    /// Returns the names of a struct's fields, in their order.
    pub(crate) fn field_names(&self, id: Id) -> Vec<String> {
        let fields = self.scope.item(id).fields().unwrap_or_default();
        names::snakes(fields.iter().map(|field| (field.name.as_str(), &field.annotations)), &[])
    }

    /// Returns the names of a union's variants, in their order, and of the one for unknown fields.
    pub(crate) fn variant_names(&self, id: Id) -> (Vec<String>, String) {
        let fields = self.scope.item(id).fields().unwrap_or_default();
        let names = names::camels(fields.iter().map(|field| (field.name.as_str(), &field.annotations)), &[]);
        let mut taken: HashSet<String> = names.iter().cloned().collect();
        (names, names::unique(&mut taken, "Unknown".to_owned()))
    }

    /// Returns the path of an enum's value; of any number if it has no name.
    pub(crate) fn enum_value(&self, from: usize, id: Id, number: i64) -> String {
        let path = self.names.path(from, id);
        let ItemKind::Enum(values) = &self.scope.item(id).kind else { return path };
        let names = names::shouties(values.iter().map(|value| value.name.as_str()));
        match values.iter().zip(names).find(|(value, _)| value.number == number) {
            Some((_, name)) => format!("{path}::{name}"),
            None => format!("{path}({number})"),
        }
    }
}
