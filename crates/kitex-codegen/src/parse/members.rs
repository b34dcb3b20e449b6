//! The members of a definition: fields, values, functions.

use super::{Parsed, Parser};
use crate::{
    ast::{EnumValue, Field, Function, Requiredness, Service, TypeKind},
    lex::{Kind, Wrong},
};

impl Parser {
    /// Reads fields up to and including `end`. A field without an id gets the previous id plus one, as in
    /// thriftgo.
    pub(super) fn fields(&mut self, end: char) -> Parsed<Vec<Field>> {
        let mut fields: Vec<Field> = Vec::new();
        while !self.symbol(end) {
            if *self.peek() == Kind::End {
                return Err(self.wrong(&format!("`{end}`")));
            }
            let next = fields.last().map_or(1, |field| i64::from(field.id) + 1);
            fields.push(self.field(next)?);
        }
        Ok(fields)
    }

    fn field(&mut self, next: i64) -> Parsed<Field> {
        self.structured_annotations()?;
        let docs = self.docs_above();
        let id_line = self.line();
        let id = self.field_id()?.unwrap_or(next);
        let requiredness = self.requiredness();
        let ty = self.ty()?;
        let line = self.line();
        let name = self.word("the name of a field, as in `1: i32 name`")?;
        let default = if self.symbol('=') { Some(self.value()?) } else { None };
        let annotations = self.annotations()?;
        self.separator();
        let docs = self.docs_or_behind(docs);
        let id = i16::try_from(id).map_err(|_| {
            (id_line, format!("field id {id} of `{name}` does not fit in an i16, use one up to 32767"))
        })?;
        Ok(Field { id, name, line, docs, requiredness, ty, default, annotations })
    }

    fn field_id(&mut self) -> Parsed<Option<i64>> {
        let Kind::Number(number) = self.peek().clone() else { return Ok(None) };
        let line = self.line();
        self.next();
        self.expect(':', "`:` after the id of a field")?;
        Ok(Some(int(&number, line)?))
    }

    fn requiredness(&mut self) -> Requiredness {
        let requiredness = match self.peek() {
            Kind::Word(word) if word == "required" => Requiredness::Required,
            Kind::Word(word) if word == "optional" => Requiredness::Optional,
            _ => return Requiredness::Default,
        };
        self.next();
        requiredness
    }

    pub(super) fn enum_values(&mut self) -> Parsed<Vec<EnumValue>> {
        self.expect('{', "`{` and the values")?;
        let mut values: Vec<EnumValue> = Vec::new();
        while !self.symbol('}') {
            self.structured_annotations()?;
            let docs = self.docs_above();
            let line = self.line();
            let name = self.word("the name of a value or `}`")?;
            let number = if self.symbol('=') {
                self.number("the number of the value")?
            } else {
                values.last().map_or(0, |value| value.number.saturating_add(1))
            };
            self.annotations()?;
            self.separator();
            let docs = self.docs_or_behind(docs);
            values.push(EnumValue { name, number, line, docs });
        }
        Ok(values)
    }

    fn number(&mut self, wanted: &str) -> Parsed<i64> {
        let line = self.line();
        match self.peek().clone() {
            Kind::Number(number) => {
                self.next();
                int(&number, line)
            }
            _ => Err(self.wrong(wanted)),
        }
    }

    pub(super) fn service(&mut self) -> Parsed<Service> {
        let extends = match self.peek() {
            Kind::Word(word) if word == "extends" => {
                self.next();
                Some(self.word("the service that this one extends")?)
            }
            _ => None,
        };
        self.expect('{', "`{` and the methods")?;
        let mut functions = Vec::new();
        while !self.symbol('}') {
            if *self.peek() == Kind::End {
                return Err(self.wrong("`}`"));
            }
            functions.push(self.function()?);
        }
        Ok(Service { extends, functions })
    }

    fn function(&mut self) -> Parsed<Function> {
        self.structured_annotations()?;
        let docs = self.docs_above();
        let is_oneway = |kind: &Kind| matches!(kind, Kind::Word(word) if word == "oneway" || word == "async");
        // A method may return a type of that name.
        let oneway = is_oneway(self.peek()) && matches!(self.ahead(2), Kind::Word(_));
        if oneway {
            self.next();
        }
        let result = self.ty()?;
        let result = if matches!(result.kind, TypeKind::Void) { None } else { Some(result) };
        let line = self.line();
        let name = self.word("the name of a method, as in `void Name()`")?;
        self.expect('(', "`(` and the arguments")?;
        let arguments = self.fields(')')?;
        let mut throws = Vec::new();
        if matches!(self.peek(), Kind::Word(word) if word == "throws") && *self.ahead(1) == Kind::Symbol('(')
        {
            self.next();
            self.next();
            throws = self.fields(')')?;
        }
        let annotations = self.annotations()?;
        self.separator();
        let docs = self.docs_or_behind(docs);
        Ok(Function { name, line, docs, oneway, result, arguments, throws, annotations })
    }
}

/// Returns the value of a whole number, decimal, hexadecimal or octal.
pub(super) fn int(text: &str, line: usize) -> Result<i64, Wrong> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let parsed = if let Some(hex) = lower.strip_prefix("0x") {
        i64::from_str_radix(&format!("{sign}{hex}"), 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i64::from_str_radix(&format!("{sign}{octal}"), 8)
    } else {
        format!("{sign}{lower}").parse()
    };
    parsed.map_err(|_| (line, format!("`{text}` is not a whole number of 64 bits, use one")))
}
