//! Refuses annotations for Rust, and attributes of the builder, that cannot be followed. Owns no meaning of theirs.

use syn::parse::Parser;

use crate::{
    Error,
    ast::{Annotations, Field, Item, ItemKind, Type, TypeKind},
    idl::Source,
    options::Options,
    scope::Scope,
};

/// Checks what all items, fields and methods carry.
pub(crate) fn check(scope: &Scope<'_>, options: &Options) -> Result<(), Error> {
    for (id, item) in scope.ids() {
        Annotated { source: scope.source(id.0), options }.item(item)?;
    }
    Ok(())
}

/// What is annotated within one item.
struct Annotated<'a> {
    source: &'a Source,
    options: &'a Options,
}

impl Annotated<'_> {
    fn item(&self, item: &Item) -> Result<(), Error> {
        self.values(&item.annotations, item.line)?;
        match &item.kind {
            ItemKind::Struct(fields) | ItemKind::Union(fields) | ItemKind::Exception(fields) => {
                self.attributes(&self.options.item(item), item.line)?;
                fields.iter().try_for_each(|field| {
                    self.attributes(&self.options.field(&item.name, field), field.line)?;
                    self.field(field)
                })
            }
            ItemKind::Enum(_) => self.attributes(&self.options.item(item), item.line),
            ItemKind::Typedef(ty) | ItemKind::Const(ty, _) => self.ty(ty),
            ItemKind::Service(service) => service.functions.iter().try_for_each(|function| {
                self.values(&function.annotations, function.line)?;
                function.result.iter().try_for_each(|ty| self.ty(ty))?;
                function.arguments.iter().chain(&function.throws).try_for_each(|field| self.field(field))
            }),
        }
    }

    fn field(&self, field: &Field) -> Result<(), Error> {
        self.values(&field.annotations, field.line)?;
        self.ty(&field.ty)
    }

    fn ty(&self, ty: &Type) -> Result<(), Error> {
        self.values(&ty.annotations, ty.line)?;
        match &ty.kind {
            TypeKind::List(inner) | TypeKind::Set(inner) => self.ty(inner),
            TypeKind::Map(key, value) => self.ty(key).and_then(|()| self.ty(value)),
            _ => Ok(()),
        }
    }

    fn values(&self, annotations: &Annotations, line: usize) -> Result<(), Error> {
        for (key, value) in &annotations.0 {
            let fits = match key.as_str() {
                "rust.name" | "pilota.name" => is_name(value),
                "rust.type" => ["btree", "string", "vec"].contains(&value.as_str()),
                "rust.box" | "rust.arc" => ["true", "false"].contains(&value.as_str()),
                _ => true,
            };
            if !fits {
                let wanted = match key.as_str() {
                    "rust.type" => "\"btree\", \"string\" or \"vec\"",
                    "rust.box" | "rust.arc" => "\"true\" or \"false\"",
                    _ => "a name in Rust, of letters, digits and underscores",
                };
                let problem = format!("annotation `{key}` cannot be \"{value}\", use {wanted}");
                return Err(self.source.error(line, problem));
            }
        }
        Ok(())
    }

    fn attributes(&self, text: &str, line: usize) -> Result<(), Error> {
        match syn::Attribute::parse_outer.parse_str(text) {
            Ok(_) => Ok(()),
            Err(_) => {
                let text = text.replace('\n', " ");
                let problem =
                    format!("attributes `{text}` are not valid in Rust, write them as `#[derive(Name)]`");
                Err(self.source.error(line, problem))
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let name = name.strip_prefix("r#").unwrap_or(name);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
