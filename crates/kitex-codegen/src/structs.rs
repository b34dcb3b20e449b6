//! Structs, unions, exceptions, enums, typedefs and constants as Rust text. Owns their definitions and
//! their encoding by `kitex-thrift`, which reads and writes single values.

mod wire;

pub(crate) use wire::{Part, outcome, structure};

use crate::{
    Error,
    ast::{EnumValue, Field, Item, ItemKind, Type, Value},
    docs,
    names::shouties,
    options::Options,
    rust::{LIB, Rust},
    scope::Id,
    value::{Values, Written},
};

/// Writes the items of one file.
pub(crate) struct Structs<'a, 'b> {
    pub(crate) rust: &'b Rust<'a>,
    pub(crate) options: &'b Options,
    pub(crate) file: usize,
}

impl Structs<'_, '_> {
    /// Returns the code of an item that is no service.
    pub(crate) fn item(&self, id: Id, item: &Item) -> Result<String, Error> {
        let name = self.rust.names.item(id);
        match &item.kind {
            ItemKind::Struct(fields) => self.structure(id, item, fields),
            ItemKind::Exception(fields) => Ok(self.structure(id, item, fields)? + &exception(name)),
            ItemKind::Union(fields) => Ok(self.union(id, item, fields)),
            ItemKind::Enum(values) => Ok(self.enumeration(id, item, values)),
            ItemKind::Typedef(ty) => {
                let ty = self.rust.ty(self.file, &self.rust.scope.ty(self.file, ty));
                Ok(format!("{} pub type {name} = {ty};\n", docs::attributes(&item.docs)))
            }
            ItemKind::Const(ty, value) => self.constant(id, item, ty, value),
            ItemKind::Service(_) => Ok(String::new()),
        }
    }

    fn values(&self) -> Values<'_, '_> {
        Values { rust: self.rust, from: self.file }
    }

    fn structure(&self, id: Id, item: &Item, fields: &[Field]) -> Result<String, Error> {
        let (name, names) = (self.rust.names.item(id), self.rust.field_names(id));
        let has_default = fields.iter().any(|field| field.default.is_some());
        let mut derives = vec!["Clone", "Debug"];
        if !has_default {
            derives.push("Default");
        }
        derives.extend(self.comparisons(id));
        let mut body = String::new();
        for (field, name) in fields.iter().zip(&names) {
            let ty = self.rust.field(id, field);
            let attributes = self.options.field(&item.name, field);
            body.push_str(&format!("{} {attributes} pub {name}: {ty},\n", docs::attributes(&field.docs)));
        }
        let head = self.head(item, &derives);
        let mut code = format!("{head} pub struct {name} {{ {body} }}\n");
        if has_default {
            code.push_str(&self.default(id, fields, &names)?);
        }
        code.push_str(&self.wire(id, fields, &names));
        Ok(code)
    }

    /// Returns the documentation and attributes of a type.
    fn head(&self, item: &Item, derives: &[&str]) -> String {
        let (docs, attributes) = (docs::attributes(&item.docs), self.options.item(item));
        format!("{docs} #[derive({})] {attributes}", derives.join(", "))
    }

    fn comparisons(&self, id: Id) -> &'static [&'static str] {
        match self.rust.layout.is_struct_hashable(id) {
            true => &["PartialEq", "Eq", "PartialOrd", "Ord", "Hash"],
            false => &["PartialEq"],
        }
    }

    fn default(&self, id: Id, fields: &[Field], names: &[String]) -> Result<String, Error> {
        let mut body = String::new();
        for (field, name) in fields.iter().zip(names) {
            let value = match &field.default {
                Some(value) => self.values().field(id, field, Written { value, file: self.file })?,
                None if self.rust.layout.slot(id, field).optional => {
                    "::core::option::Option::None".to_owned()
                }
                None => "::core::default::Default::default()".to_owned(),
            };
            body.push_str(&format!("{name}: {value},\n"));
        }
        Ok(format!(
            "impl ::core::default::Default for {} {{ fn default() -> Self {{ Self {{ {body} }} }} }}\n",
            self.rust.names.item(id)
        ))
    }

    fn union(&self, id: Id, item: &Item, fields: &[Field]) -> String {
        let (names, unknown) = self.rust.variant_names(id);
        let name = self.rust.names.item(id);
        let mut derives = vec!["Clone", "Debug", "Default"];
        derives.extend(self.comparisons(id));
        let mut body = String::new();
        for (field, name) in fields.iter().zip(&names) {
            let ty = self.variant_ty(id, field);
            let attributes = self.options.field(&item.name, field);
            body.push_str(&format!("{} {attributes} {name}({ty}),\n", docs::attributes(&field.docs)));
        }
        format!(
            "{head} pub enum {name} {{
                {body}
                /// No value, or one that the IDL does not know. It is written as a union without a value.
                #[default]
                {unknown},
            }}\n{wire}",
            head = self.head(item, &derives),
            wire = self.union_wire(id, fields, &names, &unknown),
        )
    }

    fn variant_ty(&self, id: Id, field: &Field) -> String {
        let slot = self.rust.layout.slot(id, field);
        let mut ty = self.rust.ty(self.file, &self.rust.layout.field_ty(self.file, field));
        if slot.boxed {
            ty = format!("::std::boxed::Box<{ty}>");
        }
        if slot.shared {
            ty = format!("::std::sync::Arc<{ty}>");
        }
        ty
    }

    fn enumeration(&self, id: Id, item: &Item, values: &[EnumValue]) -> String {
        let name = self.rust.names.item(id);
        let names = shouties(values.iter().map(|value| value.name.as_str()));
        let derives = ["Clone", "Copy", "Debug", "Default", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash"];
        let mut consts = String::new();
        let mut pairs = Vec::new();
        for (value, constant) in values.iter().zip(&names) {
            let docs = docs::attributes(&value.docs);
            consts.push_str(&format!("{docs} pub const {constant}: Self = Self({});\n", value.number));
            pairs.push(format!(", ({constant}, {:?})", value.name));
        }
        let consts = if values.is_empty() { consts } else { format!("impl {name} {{ {consts} }}\n") };
        format!(
            "{head} pub struct {name}(pub i32);\n{consts}{LIB}::impl_enum!({name}{pairs});\n",
            head = self.head(item, &derives),
            pairs = pairs.concat(),
        )
    }

    fn constant(&self, id: Id, item: &Item, ty: &Type, value: &Value) -> Result<String, Error> {
        let (name, docs) = (self.rust.names.item(id), docs::attributes(&item.docs));
        let (ty, written) = (self.rust.scope.ty(self.file, ty), Written { value, file: self.file });
        if let Some((ty, value)) = self.values().constant(&ty, written)? {
            return Ok(format!("{docs} pub const {name}: {ty} = {value};\n"));
        }
        let value = self.values().expr(&ty, written)?;
        let ty = self.rust.ty(self.file, &ty);
        let lazy = "::std::sync::LazyLock";
        Ok(format!("{docs} pub static {name}: {lazy}<{ty}> = {lazy}::new(|| {value});\n"))
    }
}

fn exception(name: &str) -> String {
    format!(
        "impl ::core::fmt::Display for {name} {{
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{
                ::core::fmt::Debug::fmt(self, f)
            }}
        }}
        impl ::core::error::Error for {name} {{}}\n"
    )
}
