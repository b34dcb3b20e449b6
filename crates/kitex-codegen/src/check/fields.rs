//! Fields and enum values are told apart by number and by name.

use std::collections::HashSet;

use pilota_thrift_parser::{Enum, Field, Item};

use super::scope::named;
use crate::{
    Error,
    idl::{Idl, Source},
};

/// Refuses numbers and names that are used twice, and values that are no i32.
pub(crate) fn check(idl: &Idl) -> Result<(), Error> {
    for source in &idl.sources {
        for (name, item) in named(source) {
            match item {
                Item::Struct(s) => fields(source, name, &s.fields)?,
                Item::Union(u) => fields(source, name, &u.fields)?,
                Item::Exception(e) => fields(source, name, &e.fields)?,
                Item::Enum(e) => values(source, e)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn fields(source: &Source, item: &str, fields: &[Field]) -> Result<(), Error> {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for field in fields {
        let name = field.name.as_str();
        if !names.insert(name) {
            let line = source.places.nth_member(item, name, 2);
            return Err(
                source.error(line, format!("field `{name}` is there twice in `{item}`, rename one of them"))
            );
        }
        if field.id < 0 {
            let problem = format!("field id {} of `{name}` is negative, give it one from 0", field.id);
            return Err(source.error(source.places.field(item, field.id), problem));
        }
        if !ids.insert(field.id) {
            let problem =
                format!("field id {} is used twice in `{item}`, give `{name}` an id of its own", field.id);
            return Err(source.error(source.places.member(item, name), problem));
        }
    }
    Ok(())
}

fn values(source: &Source, e: &Enum) -> Result<(), Error> {
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    let mut next = 0;
    for value in &e.values {
        let (item, name) = (e.name.as_str(), value.name.as_str());
        if !names.insert(name) {
            let line = source.places.nth_member(item, name, 2);
            return Err(
                source.error(line, format!("value `{name}` is there twice in `{item}`, rename one of them"))
            );
        }
        let number = value.value.map_or(next, |number| number.0);
        let problem = match i32::try_from(number) {
            Ok(_) if numbers.insert(number) => None,
            Ok(_) => Some(format!("number {number} is used twice in `{item}`, give `{name}` one of its own")),
            Err(_) => Some(format!("number {number} of `{name}` is no i32, use a smaller one")),
        };
        if let Some(problem) = problem {
            return Err(source.error(source.places.member(item, name), problem));
        }
        next = number + 1;
    }
    Ok(())
}
