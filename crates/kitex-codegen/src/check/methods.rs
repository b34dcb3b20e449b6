//! Checks that Kitex could serve and call every method.

use std::collections::HashSet;

use crate::{
    Error,
    ast::{Field, Function, ItemKind, Service, Type},
    mode::Mode,
    scope::{Id, Scope},
};

pub(super) fn check(scope: &Scope<'_>) -> Result<(), Error> {
    for (id, item) in scope.ids() {
        if let ItemKind::Service(service) = &item.kind {
            Methods { scope, id, service }.check()?;
        }
    }
    Ok(())
}

struct Methods<'a, 'b> {
    scope: &'b Scope<'a>,
    id: Id,
    service: &'a Service,
}

impl<'a> Methods<'a, '_> {
    fn check(&self) -> Result<(), Error> {
        let mut taken = self.inherited()?;
        for function in &self.service.functions {
            self.refuse(function).map_err(|problem| self.error(function.line, problem))?;
            if !taken.insert(&function.name) {
                let service = &self.scope.item(self.id).name;
                let problem = format!(
                    "service `{service}` has a method `{}` already, rename one of them",
                    function.name
                );
                return Err(self.error(function.line, problem));
            }
        }
        Ok(())
    }

    /// Returns the methods of the services that this one extends.
    fn inherited(&self) -> Result<HashSet<&'a str>, Error> {
        let (mut names, mut seen) = (HashSet::new(), HashSet::from([self.id]));
        let mut base = self.scope.base(self.id.0, self.service);
        while let Some((id, service)) = base {
            if !seen.insert(id) {
                let item = self.scope.item(self.id);
                let problem = format!("service `{}` extends itself, remove one `extends`", item.name);
                return Err(self.error(item.line, problem));
            }
            names.extend(service.functions.iter().map(|function| function.name.as_str()));
            base = self.scope.base(id.0, service);
        }
        Ok(names)
    }

    fn refuse(&self, function: &Function) -> Result<(), String> {
        let mode = Mode::of(function)?;
        if mode != Mode::PingPong {
            one_argument(function)?;
        }
        if mode.is_stream() {
            self.bare_structs(function)?;
        }
        if function.oneway {
            unanswered(function, mode)?;
        }
        self.throws_exceptions(function)?;
        distinct(&function.throws, function)?;
        distinct(&function.arguments, function)
    }

    /// Messages of a stream are bare structs on the wire, so no other type can be sent.
    fn bare_structs(&self, function: &Function) -> Result<(), String> {
        let (method, is_struct) =
            (&function.name, |ty: &Type| self.scope.ty(self.id.0, ty).as_struct().is_some());
        if let Some(argument) = function.arguments.iter().find(|argument| !is_struct(&argument.ty)) {
            let name = &argument.name;
            return Err(format!(
                "argument `{name}` of streaming method `{method}` is not a struct, wrap it in one"
            ));
        }
        if !function.result.as_ref().is_some_and(is_struct) {
            return Err(format!("result of streaming method `{method}` is not a struct, wrap it in one"));
        }
        Ok(())
    }

    fn throws_exceptions(&self, function: &Function) -> Result<(), String> {
        for throw in &function.throws {
            let id = self.scope.ty(self.id.0, &throw.ty).as_struct();
            if !id.is_some_and(|id| matches!(self.scope.item(id).kind, ItemKind::Exception(_))) {
                let (name, method) = (&throw.name, &function.name);
                return Err(format!(
                    "`{name}` that method `{method}` throws is not an exception, define it as one"
                ));
            }
        }
        Ok(())
    }

    fn error(&self, line: usize, problem: String) -> Error {
        self.scope.source(self.id.0).error(line, problem)
    }
}

fn one_argument(function: &Function) -> Result<(), String> {
    match function.arguments.len() {
        1 => Ok(()),
        n => Err(format!("streaming method `{}` has {n} arguments, give it exactly one", function.name)),
    }
}

fn unanswered(function: &Function, mode: Mode) -> Result<(), String> {
    let method = &function.name;
    if mode != Mode::PingPong {
        return Err(format!("method `{method}` cannot be both oneway and streaming, remove one of them"));
    }
    if function.result.is_some() {
        return Err(format!("oneway method `{method}` has a result, make it void"));
    }
    if !function.throws.is_empty() {
        return Err(format!("oneway method `{method}` cannot throw, remove throws"));
    }
    Ok(())
}

fn distinct(fields: &[Field], function: &Function) -> Result<(), String> {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for field in fields {
        if !ids.insert(field.id) || !names.insert(&field.name) {
            let (method, name) = (&function.name, &field.name);
            return Err(format!(
                "method `{method}` has the id or the name of `{name}` twice, change one of them"
            ));
        }
    }
    Ok(())
}
