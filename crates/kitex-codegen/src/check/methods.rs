//! What a method may be. Owns the rules of streaming modes, of `oneway` and of `throws`, which thriftgo and
//! Kitex have too, or leave to a run-time surprise.

use std::collections::HashSet;

use pilota_build::IdentName;
use pilota_thrift_parser::{Field, Function, Item, Service, Ty};

use super::scope::{Scope, named};
use crate::{Error, idl::Source, mode::Mode};

/// Refuses methods that no peer could serve.
pub(crate) fn check(scope: &Scope<'_>) -> Result<(), Error> {
    for (at, source) in scope.sources() {
        for (_, item) in named(source) {
            if let Item::Service(service) = item {
                Methods { scope, at, source, service }.check()?;
            }
        }
    }
    Ok(())
}

struct Methods<'a, 'b> {
    scope: &'b Scope<'a>,
    at: usize,
    source: &'a Source,
    service: &'a Service,
}

impl<'a> Methods<'a, '_> {
    fn check(&self) -> Result<(), Error> {
        let mut names = self.inherited()?;
        for function in &self.service.functions {
            let name = function.name.as_str();
            if !names.insert(name.snake_ident().to_string()) {
                let own = self.service.functions.iter().filter(|other| other.name.as_str() == name).count();
                let line = self.source.places.method(self.service.name.as_str(), name, own);
                let problem =
                    format!("service `{}` has a method `{name}` already, rename one of them", self.name());
                return Err(self.source.error(line, problem));
            }
            self.refuse(function).map_err(|problem| self.error(function, problem))?;
        }
        Ok(())
    }

    /// The methods of all services that this one extends.
    fn inherited(&self) -> Result<HashSet<String>, Error> {
        let mut names = HashSet::new();
        let mut seen = vec![(self.at, self.name())];
        let mut base = self.scope.base(self.at, self.service);
        while let Some((at, service)) = base {
            if seen.contains(&(at, service.name.as_str())) {
                let problem = format!("service `{}` extends itself, remove one `extends`", self.name());
                return Err(self.source.error(self.source.places.item(self.name()), problem));
            }
            seen.push((at, service.name.as_str()));
            names.extend(
                service.functions.iter().map(|function| function.name.as_str().snake_ident().to_string()),
            );
            base = self.scope.base(at, service);
        }
        Ok(names)
    }

    fn refuse(&self, function: &'a Function) -> Result<(), String> {
        let mode = Mode::of(function)?;
        if mode != Mode::PingPong {
            one_argument(function)?;
        }
        if mode.is_stream() {
            self.bare_structs(function)?;
            no_throws(function)?;
        }
        if function.oneway {
            unanswered(function, mode)?;
        }
        self.throws_exceptions(function)?;
        arguments(function)
    }

    /// A stream's messages are bare structs on the wire, so nothing else can travel.
    fn bare_structs(&self, function: &'a Function) -> Result<(), String> {
        let method = function.name.as_str();
        if let Some(argument) =
            function.arguments.iter().find(|argument| !self.scope.is_struct(self.at, &argument.ty))
        {
            let name = argument.name.as_str();
            return Err(format!(
                "argument `{name}` of streaming method `{method}` is no struct, wrap it in one"
            ));
        }
        if !self.scope.is_struct(self.at, &function.result_type) {
            return Err(format!("result of streaming method `{method}` is no struct, wrap it in one"));
        }
        Ok(())
    }

    fn throws_exceptions(&self, function: &'a Function) -> Result<(), String> {
        for throw in &function.throws {
            if !matches!(self.scope.behind(self.at, &throw.ty), Some((_, Item::Exception(_)))) {
                let (name, method) = (throw.name.as_str(), function.name.as_str());
                return Err(format!(
                    "`{name}` that method `{method}` throws is no exception, define it as one"
                ));
            }
            if throw.name.as_str().upper_camel_ident() == "Other"
                || throw.name.as_str().upper_camel_ident() == "Ok"
            {
                let name = throw.name.as_str();
                return Err(format!("`{name}` in throws is a name that generated code needs, rename it"));
            }
        }
        distinct(&function.throws, function)
    }

    fn name(&self) -> &'a str {
        self.service.name.as_str()
    }

    fn error(&self, function: &Function, problem: String) -> Error {
        self.source.error(self.source.places.method(self.name(), &function.name, 1), problem)
    }
}

fn one_argument(function: &Function) -> Result<(), String> {
    match function.arguments.len() {
        1 => Ok(()),
        n => Err(format!(
            "streaming method `{}` has {n} arguments, give it exactly one",
            function.name.as_str()
        )),
    }
}

/// Kitex accepts `throws` here and sends the exception's text as an application error: the type never
/// arrives.
fn no_throws(function: &Function) -> Result<(), String> {
    match function.throws.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "streaming method `{}` cannot throw, remove throws and end the stream with a biz status error",
            function.name.as_str()
        )),
    }
}

fn unanswered(function: &Function, mode: Mode) -> Result<(), String> {
    let method = function.name.as_str();
    if mode != Mode::PingPong {
        return Err(format!("method `{method}` cannot be both oneway and streaming, remove one of them"));
    }
    if !matches!(function.result_type.0, Ty::Void) {
        return Err(format!("oneway method `{method}` has a result, make it void"));
    }
    if !function.throws.is_empty() {
        return Err(format!("oneway method `{method}` cannot throw, remove throws"));
    }
    Ok(())
}

fn arguments(function: &Function) -> Result<(), String> {
    distinct(&function.arguments, function)
}

fn distinct(fields: &[Field], function: &Function) -> Result<(), String> {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for field in fields {
        if field.id < 0 {
            return Err(format!(
                "id {} of `{}` is negative, give it one from 0",
                field.id,
                field.name.as_str()
            ));
        }
        if !ids.insert(field.id) || !names.insert(field.name.as_str().snake_ident()) {
            let (name, method) = (field.name.as_str(), function.name.as_str());
            return Err(format!(
                "method `{method}` has the id or the name of `{name}` twice, change one of them"
            ));
        }
    }
    Ok(())
}
