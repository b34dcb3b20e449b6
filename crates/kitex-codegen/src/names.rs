//! Rust names for the items of an IDL. Owns case, keywords and collisions; writes no code.
//!
//! Within a module the types of the IDL get their names first, then the services, then the items generated for
//! them. A name that is already taken gets an underscore at its end.

use std::collections::{HashMap, HashSet};

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};

use crate::{
    ast::{Annotations, Function, ItemKind},
    mode::Mode,
    scope::{Id, Scope},
};

/// The names of all items, including those generated for services.
pub(crate) struct Names {
    /// The module of each file.
    modules: Vec<Vec<String>>,
    items: HashMap<Id, String>,
    services: HashMap<Id, ServiceNames>,
}

/// The items generated for a service.
pub(crate) struct ServiceNames {
    pub(crate) server: String,
    pub(crate) client: String,
    pub(crate) table: String,
    /// One for each of its own methods.
    pub(crate) wrappers: Vec<Wrappers>,
}

/// The items generated for a method.
#[derive(Clone)]
pub(crate) struct Wrappers {
    pub(crate) args: String,
    pub(crate) result: String,
    pub(crate) error: String,
}

/// Annotations that name an item or a field.
const NAME: [&str; 2] = ["rust.name", "pilota.name"];

/// Names that `async_trait` writes without a path.
const MACROS: &str = "Box";

impl Names {
    pub(crate) fn new(scope: &Scope<'_>) -> Self {
        let modules: Vec<Vec<String>> = scope
            .idl
            .sources
            .iter()
            .map(|source| source.namespace().split('.').filter(|name| !name.is_empty()).map(module).collect())
            .collect();
        let mut names = Self { modules, items: HashMap::new(), services: HashMap::new() };
        let mut taken: HashMap<Vec<String>, Taken> = HashMap::new();
        for module in &names.modules {
            for at in 0..module.len() {
                taken.entry(module[..at].to_vec()).or_default().types.insert(module[at].clone());
            }
            taken.entry(module.clone()).or_default().types.insert(MACROS.to_owned());
        }
        let is_service = |kind: &ItemKind| matches!(kind, ItemKind::Service(_));
        for (id, item) in scope.ids().filter(|(_, item)| !is_service(&item.kind)) {
            let taken = taken.entry(names.modules[id.0].clone()).or_default();
            let name = match &item.kind {
                ItemKind::Const(..) => {
                    unique(&mut taken.values, chosen(&item.annotations, || shouty(&item.name)))
                }
                _ => unique(&mut taken.types, chosen(&item.annotations, || camel(&item.name))),
            };
            names.items.insert(id, name);
        }
        let services: Vec<_> = scope.ids().filter(|(_, item)| is_service(&item.kind)).collect();
        for (id, item) in &services {
            let taken = taken.entry(names.modules[id.0].clone()).or_default();
            let name = unique(&mut taken.types, chosen(&item.annotations, || camel(&item.name)));
            names.items.insert(*id, name);
        }
        for (id, item) in services {
            let ItemKind::Service(service) = &item.kind else { continue };
            let taken = taken.entry(names.modules[id.0].clone()).or_default();
            let stem = chosen(&item.annotations, || camel(&item.name));
            let generated = ServiceNames {
                server: unique(&mut taken.types, format!("{stem}Server")),
                client: unique(&mut taken.types, format!("{stem}Client")),
                table: unique(&mut taken.values, format!("{}_METHODS", shouty(&item.name))),
                wrappers: service.functions.iter().map(|function| wrappers(&stem, function, taken)).collect(),
            };
            names.services.insert(id, generated);
        }
        names
    }

    /// Returns the modules that lead to a file's.
    pub(crate) fn module(&self, file: usize) -> &[String] {
        &self.modules[file]
    }

    pub(crate) fn item(&self, id: Id) -> &str {
        self.items.get(&id).map_or("", String::as_str)
    }

    pub(crate) fn service(&self, id: Id) -> &ServiceNames {
        &self.services[&id]
    }

    /// Returns the path from the module of the file `from` to an item.
    pub(crate) fn path(&self, from: usize, id: Id) -> String {
        self.path_to(from, id.0, self.item(id))
    }

    /// Returns the path from the module of the file `from` to `name` in that of `file`.
    pub(crate) fn path_to(&self, from: usize, file: usize, name: &str) -> String {
        let (from, to) = (&self.modules[from], &self.modules[file]);
        if from == to {
            return name.to_owned();
        }
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let up = match from.len() - common {
            0 => "self::".to_owned(),
            levels => "super::".repeat(levels),
        };
        let down: String = to[common..].iter().map(|name| format!("{name}::")).collect();
        format!("{up}{down}{name}")
    }
}

#[derive(Default)]
struct Taken {
    types: HashSet<String>,
    values: HashSet<String>,
}

fn wrappers(stem: &str, function: &Function, taken: &mut Taken) -> Wrappers {
    let stem = format!("{stem}{}", camel(&function.name));
    // A stream has none, so it reserves no name.
    let is_stream = Mode::of(function).is_ok_and(Mode::is_stream);
    let mut name = |suffix: &str, exists: bool| {
        let name = format!("{stem}{suffix}");
        if exists { unique(&mut taken.types, name) } else { name }
    };
    Wrappers {
        args: name("Args", !is_stream),
        result: name("Result", !is_stream && !function.oneway),
        error: name("Error", !is_stream && !function.throws.is_empty()),
    }
}

/// Returns the name that an annotation gives, or else another.
fn chosen(annotations: &Annotations, or: impl FnOnce() -> String) -> String {
    annotations.first(&NAME).map_or_else(or, ident)
}

/// Returns `name` with enough trailing underscores to differ from the names that are taken.
pub(crate) fn unique(taken: &mut HashSet<String>, name: String) -> String {
    let mut name = name;
    while !taken.insert(name.clone()) {
        // `r#type_` would be valid too, but is unusual.
        name = format!("{}_", name.strip_prefix("r#").unwrap_or(&name));
    }
    name
}

/// Returns the names of fields, arguments or methods, in their order.
pub(crate) fn snakes<'a>(
    members: impl Iterator<Item = (&'a str, &'a Annotations)>,
    taken: &[&str],
) -> Vec<String> {
    let mut taken: HashSet<String> = taken.iter().map(ToString::to_string).collect();
    members.map(|(name, annotations)| unique(&mut taken, chosen(annotations, || snake(name)))).collect()
}

/// Returns the names of variants, in their order.
pub(crate) fn camels<'a>(
    members: impl Iterator<Item = (&'a str, &'a Annotations)>,
    taken: &[&str],
) -> Vec<String> {
    let mut taken: HashSet<String> = taken.iter().map(ToString::to_string).collect();
    members.map(|(name, annotations)| unique(&mut taken, chosen(annotations, || camel(name)))).collect()
}

/// Returns the names of an enum's values, in their order.
pub(crate) fn shouties<'a>(members: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    members.map(|name| unique(&mut taken, shouty(name))).collect()
}

fn module(name: &str) -> String {
    cased(name, ToSnakeCase::to_snake_case)
}

pub(crate) fn camel(name: &str) -> String {
    cased(name, ToUpperCamelCase::to_upper_camel_case)
}

fn snake(name: &str) -> String {
    cased(name, ToSnakeCase::to_snake_case)
}

pub(crate) fn shouty(name: &str) -> String {
    cased(name, ToShoutySnakeCase::to_shouty_snake_case)
}

/// Returns the name in another case; leading underscores are kept.
fn cased(name: &str, case: impl FnOnce(&str) -> String) -> String {
    let rest = name.trim_start_matches('_');
    ident(&format!("{}{}", &name[..name.len() - rest.len()], case(rest)))
}

/// Returns `name` as a valid Rust identifier.
fn ident(name: &str) -> String {
    let mut name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if name.chars().all(|c| c == '_') || matches!(name.as_str(), "self" | "Self" | "super" | "crate") {
        name.push('_');
    }
    if name.starts_with(|c: char| c.is_numeric()) {
        name.insert(0, '_');
    }
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

#[cfg(test)]
mod tests {
    use super::{camel, ident, shouty, snake};

    #[test]
    fn names_have_the_case_that_rust_gives_them() {
        for (name, expected) in [
            ("userId", ["UserId", "user_id", "USER_ID"]),
            ("HTTPServer", ["HttpServer", "http_server", "HTTP_SERVER"]),
            ("_x", ["_X", "_x", "_X"]),
            ("type", ["Type", "r#type", "TYPE"]),
            ("self", ["Self_", "self_", "SELF"]),
            ("_", ["__", "__", "__"]),
            ("a1b", ["A1b", "a1b", "A1B"]),
        ] {
            assert_eq!([camel(name), snake(name), shouty(name)], expected, "{name}");
        }
        assert_eq!(ident("x-y"), "x_y");
    }
}
