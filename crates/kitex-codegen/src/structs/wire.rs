//! How structs, unions, arguments and results are read and written. Owns the order of calls; the
//! reader makes every check.

use super::Structs;
use crate::{ast::Field, rust::LIB, scope::Id, value::Written};

/// A field, as input of the reading and writing code.
pub(crate) struct Part {
    pub(crate) id: i16,
    /// In Rust.
    pub(crate) name: String,
    /// In the IDL.
    pub(crate) wire_name: String,
    pub(crate) optional: bool,
    pub(crate) required: bool,
    pub(crate) has_default: bool,
}

impl Structs<'_, '_> {
    pub(super) fn wire(&self, id: Id, fields: &[Field], names: &[String]) -> String {
        let parts: Vec<Part> = fields
            .iter()
            .zip(names)
            .map(|(field, name)| {
                let optional = self.rust.layout.slot(id, field).optional;
                Part {
                    id: field.id,
                    name: name.clone(),
                    wire_name: field.name.clone(),
                    optional,
                    required: !optional,
                    has_default: field.default.is_some(),
                }
            })
            .collect();
        structure(self.rust.names.item(id), &parts, &self.heap(id, fields))
    }

    /// Returns the heap size of a default value of the struct, if it uses the heap.
    fn heap(&self, id: Id, fields: &[Field]) -> String {
        let (mut known, mut terms) = (0_usize, Vec::new());
        for field in fields {
            let ty = self.rust.layout.field_ty(id.0, field);
            match &field.default {
                Some(value) => {
                    known += self.values().heap(&ty, Written { value, file: self.file });
                }
                None if !self.rust.layout.slot(id, field).optional && ty.as_struct().is_some() => {
                    terms.push(format!("<{} as {LIB}::Wire>::HEAP", self.rust.field(id, field)));
                }
                None => {}
            }
        }
        if known > 0 {
            terms.push(known.to_string());
        }
        if terms.is_empty() {
            return String::new();
        }
        format!("const HEAP: usize = {};", terms.join(" + "))
    }

    pub(super) fn union_wire(&self, id: Id, fields: &[Field], names: &[String], unknown: &str) -> String {
        let name = self.rust.names.item(id);
        let (mut size, mut write, mut read) = (String::new(), String::new(), String::new());
        for (field, name) in fields.iter().zip(names) {
            let id = field.id;
            size.push_str(&format!("Self::{name}(value) => {LIB}::field_size(value),\n"));
            write.push_str(&format!("Self::{name}(value) => to.field({id}, value),\n"));
            read.push_str(&format!("{id} => from.variant(field, self, Self::{name})?,\n"));
        }
        let read = reading(&read);
        format!(
            "impl {LIB}::Wire for {name} {{
                const TYPE: {LIB}::Type = {LIB}::Type::Struct;

                fn size(&self) -> usize {{ 1 + match self {{ {size} Self::{unknown} => 0 }} }}

                fn write(&self, to: &mut {LIB}::Writer<'_>) {{
                    match self {{ {write} Self::{unknown} => {{}} }}
                    to.stop();
                }}

                fn read(&mut self, from: &mut {LIB}::Reader) -> {LIB}::Decoded<()> {{
                    from.begin()?;
                    {read}
                    ::core::result::Result::Ok(())
                }}

                fn is_absent(&self) -> bool {{ ::core::matches!(self, Self::{unknown}) }}
            }}\n"
        )
    }
}

/// Returns the `Wire` implementation of a struct. `heap` is a constant of the trait, if it differs from the default.
pub(crate) fn structure(name: &str, parts: &[Part], heap: &str) -> String {
    let required: Vec<&Part> = parts.iter().filter(|part| part.required).collect();
    let (mut size, mut write, mut read) = ("1".to_owned(), String::new(), String::new());
    for part in parts {
        let Part { id, name, .. } = part;
        let kind = if part.optional { "optional" } else { "field" };
        size.push_str(&format!(" + {LIB}::{kind}_size(&self.{name})"));
        write.push_str(&format!("to.{kind}({id}, &self.{name});\n"));
        let place = required.iter().position(|other| other.id == *id);
        read.push_str(&match place {
            _ if part.optional && part.has_default => {
                format!("{id} => from.or_default(field, &mut self.{name})?,\n")
            }
            _ if part.optional => format!("{id} => from.optional(field, &mut self.{name})?,\n"),
            None => format!("{id} => {{ from.value(field, &mut self.{name})?; }}\n"),
            Some(at) => format!("{id} => set[{at}] |= from.value(field, &mut self.{name})?,\n"),
        });
    }
    let names: Vec<String> = required.iter().map(|part| format!("{:?}", part.wire_name)).collect();
    let (set, done) = match required.len() {
        0 => (String::new(), "::core::result::Result::Ok(())".to_owned()),
        count => (
            format!("let mut set = [false; {count}];"),
            format!("from.require(&set, &[{}])", names.join(", ")),
        ),
    };
    let read = reading(&read);
    format!(
        "impl {LIB}::Wire for {name} {{
            const TYPE: {LIB}::Type = {LIB}::Type::Struct;
            {heap}

            fn size(&self) -> usize {{ {size} }}

            fn write(&self, to: &mut {LIB}::Writer<'_>) {{
                {write}
                to.stop();
            }}

            fn read(&mut self, from: &mut {LIB}::Reader) -> {LIB}::Decoded<()> {{
                {set}
                from.begin()?;
                {read}
                {done}
            }}
        }}\n"
    )
}

/// Returns the `Wire` implementation of the outcome of a call: one of `parts`, id, variant and whether it has a value. The first is that of
/// the method's result.
pub(crate) fn outcome(name: &str, parts: &[(i16, String)], is_void: bool) -> String {
    let (mut size, mut write, mut read) = (String::new(), String::new(), String::new());
    for (at, (id, variant)) in parts.iter().enumerate() {
        if at == 0 && is_void {
            size.push_str(&format!("Self::{variant}(()) => 0,\n"));
            write.push_str(&format!("Self::{variant}(()) => {{}}\n"));
            continue;
        }
        size.push_str(&format!("Self::{variant}(value) => {LIB}::field_size(value),\n"));
        write.push_str(&format!("Self::{variant}(value) => to.field({id}, value),\n"));
        read.push_str(&format!(
            "{id} => from.variant(field, &mut found, |value| ::core::option::Option::Some(Self::{variant}(value)))?,\n"
        ));
    }
    let none = match is_void {
        true => "::core::option::Option::Some(Self::Ok(()))",
        false => "::core::option::Option::None",
    };
    let read = reading(&read);
    format!(
        "impl {LIB}::Message for {name} {{
            const NAME: &'static str = {name:?};

            fn size(&self) -> usize {{ 1 + match self {{ {size} }} }}

            fn write(&self, to: &mut {LIB}::Writer<'_>) {{
                match self {{ {write} }}
                to.stop();
            }}

            fn read(from: &mut {LIB}::Reader) -> {LIB}::Decoded<Self> {{
                let mut found: ::core::option::Option<Self> = {none};
                from.begin()?;
                {read}
                found.ok_or_else(|| from.missing_result())
            }}
        }}\n"
    )
}

fn reading(arms: &str) -> String {
    format!(
        "while let ::core::option::Option::Some(field) = from.next_field()? {{
            match field.id {{ {arms} _ => from.skip(field)?, }}
        }}"
    )
}
