//! Types and values.

use super::{Parsed, Parser, members::int};
use crate::{
    ast::{Type, TypeKind, Value, ValueKind},
    lex::Kind,
};

/// How deep types and values may nest; each level costs stack.
const DEEPEST: usize = 100;

impl Parser {
    pub(super) fn ty(&mut self) -> Parsed<Type> {
        self.ty_within(DEEPEST)
    }

    fn ty_within(&mut self, levels: usize) -> Parsed<Type> {
        let line = self.line();
        if levels == 0 {
            return Err((
                line,
                "type is nested more than 100 levels deep, put a typedef or a struct between".into(),
            ));
        }
        let word = self.word("a type")?;
        let kind = match word.as_str() {
            "bool" => TypeKind::Bool,
            "byte" | "i8" => TypeKind::I8,
            "i16" => TypeKind::I16,
            "i32" => TypeKind::I32,
            "i64" => TypeKind::I64,
            "double" => TypeKind::Double,
            "string" => TypeKind::String,
            "binary" => TypeKind::Binary,
            "void" => TypeKind::Void,
            "list" | "set" | "map" if self.opens() => self.container(&word, levels)?,
            _ => TypeKind::Named(word),
        };
        let annotations = self.annotations()?;
        Ok(Type { kind, line, annotations })
    }

    fn opens(&self) -> bool {
        *self.peek() == Kind::Symbol('<') || self.is_cpp_type()
    }

    fn is_cpp_type(&self) -> bool {
        matches!(self.peek(), Kind::Word(word) if word == "cpp_type")
            && matches!(self.ahead(1), Kind::Text(_))
    }

    fn cpp_type(&mut self) {
        if self.is_cpp_type() {
            self.next();
            self.next();
        }
    }

    fn container(&mut self, word: &str, levels: usize) -> Parsed<TypeKind> {
        self.cpp_type();
        self.expect('<', "`<` and the type of the elements")?;
        let first = Box::new(self.ty_within(levels - 1)?);
        let kind = match word {
            "list" => TypeKind::List(first),
            "set" => TypeKind::Set(first),
            _ => {
                self.expect(',', "`,` and the type of the map's values")?;
                TypeKind::Map(first, Box::new(self.ty_within(levels - 1)?))
            }
        };
        self.expect('>', "`>`")?;
        self.cpp_type();
        Ok(kind)
    }

    pub(super) fn value(&mut self) -> Parsed<Value> {
        self.value_within(DEEPEST)
    }

    fn value_within(&mut self, levels: usize) -> Parsed<Value> {
        let line = self.line();
        if levels == 0 {
            return Err((line, "value is nested more than 100 levels deep, put a constant between".into()));
        }
        let kind = match self.peek().clone() {
            Kind::Number(number) => {
                self.next();
                self.number_value(&number, line)?
            }
            Kind::Text(text) => {
                self.next();
                ValueKind::Text(text)
            }
            Kind::Word(name) => {
                self.next();
                ValueKind::Name(name)
            }
            Kind::Symbol('[') => {
                self.next();
                let mut values = Vec::new();
                while !self.symbol(']') {
                    values.push(self.value_within(levels - 1)?);
                    self.separator();
                }
                ValueKind::List(values)
            }
            Kind::Symbol('{') => {
                self.next();
                let mut entries = Vec::new();
                while !self.symbol('}') {
                    let key = self.value_within(levels - 1)?;
                    self.expect(':', "`:` and the value of the key")?;
                    entries.push((key, self.value_within(levels - 1)?));
                    self.separator();
                }
                ValueKind::Map(entries)
            }
            _ => return Err(self.wrong("a value")),
        };
        Ok(Value { kind, line })
    }

    fn number_value(&self, number: &str, line: usize) -> Parsed<ValueKind> {
        let is_hex = number.to_ascii_lowercase().contains("0x");
        if !is_hex && number.contains(['.', 'e', 'E']) {
            let double =
                number.parse().map_err(|_| (line, format!("`{number}` is not a number, use one")))?;
            return Ok(ValueKind::Double(double));
        }
        match int(number, line) {
            Ok(int) => Ok(ValueKind::Int(int)),
            // Any number of digits.
            Err(error) if is_hex => Err(error),
            Err(error) => number.parse().map(ValueKind::Double).map_err(|_| error),
        }
    }
}
