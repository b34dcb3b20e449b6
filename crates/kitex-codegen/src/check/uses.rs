//! Checks that every type and service that is named exists and fits its place.

use std::collections::HashSet;

use crate::{
    Error,
    ast::{Field, Function, Item, ItemKind, Type, TypeKind},
    scope::{Id, Scope},
};

/// Refuses unknown names, `void` where a value must be, and cyclic typedefs and services.
pub(super) fn check(scope: &Scope<'_>) -> Result<(), Error> {
    for (id, item) in scope.ids() {
        Uses { scope, id }.item(item)?;
    }
    Ok(())
}

/// The uses of names within one item.
struct Uses<'a, 'b> {
    scope: &'b Scope<'a>,
    id: Id,
}

impl Uses<'_, '_> {
    fn item(&self, item: &Item) -> Result<(), Error> {
        match &item.kind {
            ItemKind::Struct(fields) | ItemKind::Union(fields) | ItemKind::Exception(fields) => {
                self.fields(fields)
            }
            ItemKind::Typedef(ty) => {
                self.ty(ty, &item.name)?;
                self.ends(item)
            }
            ItemKind::Const(ty, _) => self.ty(ty, &item.name),
            ItemKind::Service(service) => {
                if let Some(base) = &service.extends
                    && self.scope.base(self.id.0, service).is_none()
                {
                    let problem = format!("unknown service `{base}`, define it or include its file");
                    return Err(self.error(item.line, problem));
                }
                service.functions.iter().try_for_each(|function| self.function(function))
            }
            ItemKind::Enum(_) => Ok(()),
        }
    }

    fn fields(&self, fields: &[Field]) -> Result<(), Error> {
        fields.iter().try_for_each(|field| self.ty(&field.ty, &field.name))
    }

    fn function(&self, function: &Function) -> Result<(), Error> {
        if let Some(result) = &function.result {
            self.ty(result, &function.name)?;
        }
        self.fields(&function.arguments)?;
        self.fields(&function.throws)
    }

    /// `member` is the field or method that has the type.
    fn ty(&self, ty: &Type, member: &str) -> Result<(), Error> {
        match &ty.kind {
            TypeKind::List(element) | TypeKind::Set(element) => self.ty(element, member),
            TypeKind::Map(key, value) => {
                self.ty(key, member)?;
                self.ty(value, member)
            }
            TypeKind::Named(name) => self.named(name, ty.line),
            TypeKind::Void => {
                let problem = format!("`{member}` cannot be void, only the result of a method can");
                Err(self.error(ty.line, problem))
            }
            _ => Ok(()),
        }
    }

    fn named(&self, name: &str, line: usize) -> Result<(), Error> {
        let problem = match self.scope.find(self.id.0, name).map(|id| &self.scope.item(id).kind) {
            None if name == "uuid" => return Ok(()),
            None => format!("unknown type `{name}`, define it or include its file"),
            Some(ItemKind::Service(_)) => format!("`{name}` is a service, use a struct"),
            Some(ItemKind::Const(..)) => format!("`{name}` is a constant, use a type"),
            Some(_) => return Ok(()),
        };
        Err(self.error(line, problem))
    }

    /// Refuses a typedef that refers to itself through typedefs and containers only.
    fn ends(&self, item: &Item) -> Result<(), Error> {
        let (mut seen, mut open) = (HashSet::new(), vec![self.id]);
        while let Some(id) = open.pop() {
            let ItemKind::Typedef(ty) = &self.scope.item(id).kind else { continue };
            let mut types = vec![ty];
            while let Some(ty) = types.pop() {
                match &ty.kind {
                    TypeKind::List(element) | TypeKind::Set(element) => types.push(element),
                    TypeKind::Map(key, value) => types.extend([&**key, &**value]),
                    TypeKind::Named(name) => {
                        let Some(next) = self.scope.find(id.0, name) else { continue };
                        if next == self.id {
                            let problem = format!("`{}` contains itself, put a struct between", item.name);
                            return Err(self.error(item.line, problem));
                        }
                        if seen.insert(next) {
                            open.push(next);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn error(&self, line: usize, problem: String) -> Error {
        self.scope.source(self.id.0).error(line, problem)
    }
}
