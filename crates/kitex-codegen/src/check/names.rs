//! One name, one thing. Owns names within a namespace, those of the IDL and those that we make from them.

use std::collections::HashMap;

use pilota_build::IdentName;
use pilota_thrift_parser::{Item, Service};

use super::scope::named;
use crate::{
    Error,
    idl::{Idl, Source},
    mode::Mode,
};

/// What the `async_trait` macro writes without a path.
const ASYNC_TRAIT: &str = "Box";

/// Refuses a name that two items of one namespace have. pilota-build would write both.
pub(crate) fn check(idl: &Idl) -> Result<(), Error> {
    let mut seen: HashMap<(String, &str), (&Source, usize)> = HashMap::new();
    for source in &idl.sources {
        for (name, _) in named(source) {
            let namespace = source.namespace();
            let line = source.places.item(name);
            if let Some((first, first_line)) = seen.insert((namespace.clone(), name), (source, line)) {
                let line = if std::ptr::eq(first, source) { last_line(source, name, line) } else { line };
                let known = format!("{}:{first_line}", first.shown.display());
                let problem = format!(
                    "`{name}` is already defined in namespace `{namespace}` at {known}, rename one of them"
                );
                return Err(source.error(line, problem));
            }
        }
    }
    Ok(())
}

/// The line of the second definition within one file.
fn last_line(source: &Source, name: &str, first: usize) -> usize {
    source.places.items(name).find(|line| *line > first).unwrap_or(first)
}

/// Who has a Rust name in a namespace: the file and the name in the IDL.
type Taken<'a> = HashMap<(String, String), (&'a Source, &'a str)>;

/// Refuses names of the IDL that generated code needs for itself.
pub(crate) fn check_generated(idl: &Idl) -> Result<(), Error> {
    let mut taken = Taken::new();
    let items =
        || idl.sources.iter().flat_map(|source| named(source).map(move |(name, item)| (source, name, item)));
    for (source, name, item) in items().filter(|(.., item)| !matches!(item, Item::Service(_))) {
        taken.insert((source.namespace(), rust_name(name, item)), (source, name));
    }
    for (source, _, item) in items() {
        if let Item::Service(service) = item {
            spare(&taken, source, service)?;
            claim(&mut taken, source, service)?;
        }
    }
    Ok(())
}

fn rust_name(name: &str, item: &Item) -> String {
    match item {
        Item::Constant(_) => name.shouty_snake_case().to_string(),
        _ => name.upper_camel_ident().to_string(),
    }
}

/// What the macros in a service's code write without a path stays theirs.
fn spare(taken: &Taken<'_>, source: &Source, service: &Service) -> Result<(), Error> {
    let Some((other, name)) = taken.get(&(source.namespace(), ASYNC_TRAIT.to_owned())) else { return Ok(()) };
    let service = service.name.as_str();
    let problem = format!("`{name}` is a name that the code of service `{service}` needs, rename it");
    Err(other.error(other.places.item(name), problem))
}

fn claim<'a>(taken: &mut Taken<'a>, source: &'a Source, service: &'a Service) -> Result<(), Error> {
    let by = service.name.as_str();
    for generated in generated(service) {
        if let Some((other, name)) = taken.insert((source.namespace(), generated.clone()), (source, by)) {
            let both = format!("`{name}` and what is generated for service `{by}`");
            let problem = format!("{both} are both called `{generated}` in Rust, rename one of them");
            return Err(other.error(other.places.item(name), problem));
        }
    }
    Ok(())
}

/// The Rust names that a service brings with it.
fn generated(service: &Service) -> Vec<String> {
    let name = service.name.as_str().upper_camel_ident();
    let mut names = vec![
        name.to_string(),
        format!("{name}Server"),
        format!("{name}Client"),
        format!("{}_METHODS", service.name.as_str().shouty_snake_case()),
    ];
    for function in &service.functions {
        let method = function.name.as_str().upper_camel_ident();
        // pilota-build writes the wrappers of every method before the pass takes those of streams away.
        let suffixes = ["Args", "Result", "ArgsSend", "ArgsRecv", "ResultSend", "ResultRecv"];
        names.extend(suffixes.map(|suffix| format!("{name}{method}{suffix}")));
        if !function.throws.is_empty() && Mode::of(function).is_ok_and(|mode| !mode.is_stream()) {
            names.extend(["Error", "Exception"].map(|suffix| format!("{name}{method}{suffix}")));
        }
    }
    names
}
