//! Refuses definitions that would not compile or that no peer could serve, with file, line and remedy. Changes nothing.

pub(crate) mod annotations;
mod methods;
mod uses;

use std::collections::{HashMap, HashSet};

use crate::{
    Error,
    ast::{EnumValue, Field, ItemKind},
    scope::{Id, Scope},
};

/// Checks all files.
pub(crate) fn check(scope: &Scope<'_>) -> Result<(), Error> {
    names(scope)?;
    for (id, item) in scope.ids() {
        match &item.kind {
            ItemKind::Struct(fields) | ItemKind::Union(fields) | ItemKind::Exception(fields) => {
                self::fields(scope, id, fields)?;
            }
            ItemKind::Enum(values) => self::values(scope, id, values)?,
            _ => {}
        }
    }
    uses::check(scope)?;
    methods::check(scope)
}

/// Refuses a name that two items of one namespace have, because a use of it would be ambiguous.
fn names(scope: &Scope<'_>) -> Result<(), Error> {
    let mut seen: HashMap<(String, &str), Id> = HashMap::new();
    for (id, item) in scope.ids() {
        let source = scope.source(id.0);
        let namespace = source.namespace();
        let name = item.name.as_str();
        if let Some(first) = seen.insert((namespace.clone(), name), id) {
            let known = format!("{}:{}", scope.source(first.0).shown.display(), scope.item(first).line);
            let problem = format!(
                "`{name}` is already defined in namespace `{namespace}` at {known}, rename one of them"
            );
            return Err(source.error(item.line, problem));
        }
    }
    Ok(())
}

fn fields(scope: &Scope<'_>, id: Id, fields: &[Field]) -> Result<(), Error> {
    let (source, item) = (scope.source(id.0), &scope.item(id).name);
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for field in fields {
        let name = field.name.as_str();
        let problem = if !names.insert(name) {
            format!("field `{name}` is defined twice in `{item}`, rename one of them")
        } else if !ids.insert(field.id) {
            format!("field id {} is used twice in `{item}`, give `{name}` an id of its own", field.id)
        } else {
            continue;
        };
        return Err(source.error(field.line, problem));
    }
    Ok(())
}

/// Refuses numbers and names that are used twice, and numbers that are no i32.
fn values(scope: &Scope<'_>, id: Id, values: &[EnumValue]) -> Result<(), Error> {
    let (source, item) = (scope.source(id.0), &scope.item(id).name);
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    for value in values {
        let (name, number) = (value.name.as_str(), value.number);
        let problem = if !names.insert(name) {
            format!("value `{name}` is defined twice in `{item}`, rename one of them")
        } else if i32::try_from(number).is_err() {
            format!("number {number} of `{name}` is not an i32, use a smaller one")
        } else if !numbers.insert(number) {
            format!("number {number} is used twice in `{item}`, give `{name}` one of its own")
        } else {
            continue;
        };
        return Err(source.error(value.line, problem));
    }
    Ok(())
}
