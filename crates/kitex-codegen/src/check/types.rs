//! Every type and constant that is named exists and fits where it stands.

use std::collections::HashSet;

use pilota_thrift_parser::{ConstValue, Field, Function, Item, Path, Ty, Type};

use super::scope::{Scope, named};
use crate::{
    Error,
    idl::{Source, names},
};

/// Refuses unknown names, `void` where a value must be, and types without an end.
pub(crate) fn check(scope: &Scope<'_>) -> Result<(), Error> {
    for (at, source) in scope.sources() {
        for (name, item) in named(source) {
            Uses { scope, at, source, item: name }.item(item)?;
        }
    }
    Ok(())
}

/// The uses of names within one item.
struct Uses<'a, 'b> {
    scope: &'b Scope<'a>,
    at: usize,
    source: &'a Source,
    item: &'a str,
}

impl<'a> Uses<'a, '_> {
    fn item(&self, item: &'a Item) -> Result<(), Error> {
        match item {
            Item::Struct(s) => self.fields(&s.fields),
            Item::Exception(e) => self.fields(&e.fields),
            Item::Union(u) => {
                self.fields(&u.fields)?;
                self.ends()
            }
            Item::Typedef(typedef) => {
                self.ty(&typedef.r#type, self.item)?;
                self.ends()
            }
            Item::Constant(constant) => {
                self.ty(&constant.r#type, self.item)?;
                self.value(&constant.value, self.item)
            }
            Item::Service(service) => {
                if let Some(path) =
                    service.extends.as_ref().filter(|_| self.scope.base(self.at, service).is_none())
                {
                    let problem = format!("unknown service `{}`, define it or include its file", shown(path));
                    return Err(self.source.error(self.source.places.item(self.item), problem));
                }
                service.functions.iter().try_for_each(|function| self.function(function))
            }
            _ => Ok(()),
        }
    }

    fn fields(&self, fields: &'a [Field]) -> Result<(), Error> {
        for field in fields {
            self.ty(&field.ty, &field.name)?;
            if let Some(value) = &field.default {
                self.value(value, &field.name)?;
            }
        }
        Ok(())
    }

    fn function(&self, function: &'a Function) -> Result<(), Error> {
        if !matches!(function.result_type.0, Ty::Void) {
            self.ty(&function.result_type, &function.name)?;
        }
        self.fields(&function.arguments)?;
        self.fields(&function.throws)
    }

    /// `member` is the field or method that has the type.
    fn ty(&self, ty: &'a Type, member: &str) -> Result<(), Error> {
        match &ty.0 {
            Ty::List { value, .. } | Ty::Set { value, .. } => self.ty(value, member),
            Ty::Map { key, value, .. } => {
                self.ty(key, member)?;
                self.ty(value, member)
            }
            Ty::Path(path) => self.named(path, member),
            Ty::Void => {
                Err(self.error(member, format!("`{member}` cannot be void, only the result of a method can")))
            }
            _ => Ok(()),
        }
    }

    fn named(&self, path: &Path, member: &str) -> Result<(), Error> {
        let problem = match self.scope.find(self.at, path) {
            None => format!("unknown type `{}`, define it or include its file", shown(path)),
            Some((_, Item::Service(_))) => format!("`{}` is a service, use a struct", shown(path)),
            Some((_, Item::Constant(_))) => format!("`{}` is a constant, use a type", shown(path)),
            Some(_) => return Ok(()),
        };
        Err(self.error(member, problem))
    }

    fn value(&self, value: &ConstValue, member: &str) -> Result<(), Error> {
        match value {
            ConstValue::List(values) => values.iter().try_for_each(|value| self.value(value, member)),
            ConstValue::Map(entries) => entries.iter().try_for_each(|(key, value)| {
                self.value(key, member)?;
                self.value(value, member)
            }),
            ConstValue::Path(path) if !self.is_value(path) => {
                let problem = format!("unknown constant `{}`, define it or include its file", shown(path));
                Err(self.error(member, problem))
            }
            _ => Ok(()),
        }
    }

    /// Whether a path names a constant, or a value of an enum.
    fn is_value(&self, path: &Path) -> bool {
        let names = names(path);
        if let Some((_, Item::Constant(_))) = self.scope.find_names(self.at, &names) {
            return true;
        }
        let Some((value, of)) = names.split_last() else { return false };
        match self.scope.find_names(self.at, of) {
            Some((_, Item::Enum(e))) => e.values.iter().any(|known| known.name.as_str() == *value),
            _ => false,
        }
    }

    /// Refuses a union or typedef that holds itself with no struct and no container between: it would have no
    /// size. Structs may: pilota-build puts their fields into boxes.
    fn ends(&self) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let mut open = vec![(self.at, self.item)];
        while let Some((at, name)) = open.pop() {
            for (inner, ty) in self.direct(at, name) {
                if inner == (self.at, self.item) {
                    let problem =
                        format!("`{}` holds itself in `{ty}`, put a struct or a list between", self.item);
                    return Err(self.error(ty, problem));
                }
                if seen.insert(inner) {
                    open.push(inner);
                }
            }
        }
        Ok(())
    }

    /// The unions and typedefs that a union or typedef holds directly, each with the field's name.
    fn direct(&self, at: usize, name: &str) -> Vec<((usize, &'a str), &'a str)> {
        let held: Vec<(&'a Type, &'a str)> = match self.scope.find_names(at, &[name]) {
            Some((_, Item::Union(u))) => {
                u.fields.iter().map(|field| (&field.ty, field.name.as_str())).collect()
            }
            Some((_, Item::Typedef(typedef))) => vec![(&typedef.r#type, typedef.alias.as_str())],
            _ => Vec::new(),
        };
        let path = |ty: &'a Type| match &ty.0 {
            Ty::Path(path) => self.scope.find(at, path),
            _ => None,
        };
        let named = |(at, item): (usize, &'a Item)| super::scope::name(item).map(|name| (at, name));
        held.into_iter().filter_map(|(ty, field)| Some((named(path(ty)?)?, field))).collect()
    }

    fn error(&self, member: &str, problem: String) -> Error {
        self.source.error(self.source.places.member(self.item, member), problem)
    }
}

fn shown(path: &Path) -> String {
    names(path).join(".")
}
