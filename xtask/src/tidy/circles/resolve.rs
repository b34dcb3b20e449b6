//! Finds the module that defines what a path names: through imports, re-exports and globs.

use super::modules::{Crate, Id, Name};

/// Imports of imports that are followed. More than any code has; ends the search where names go in circles.
const DEEP: usize = 32;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Module(Id),
    /// An item that this module defines.
    Item(Id),
    /// An item of another crate.
    Foreign,
}

impl Crate<'_> {
    /// The module that defines the item `path` names in the code of `from`. `None` for another crate's item,
    /// for a name in scope without an import, and for a module: using that is using what is in it.
    pub(super) fn definer(&self, from: Id, path: &[String]) -> Option<Id> {
        match self.resolve(from, path, DEEP)? {
            Found::Item(module) => Some(module),
            Found::Module(_) | Found::Foreign => None,
        }
    }

    fn resolve(&self, from: Id, path: &[String], depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        match &**first {
            "crate" => Some(self.walk(0, rest, depth)),
            "self" => Some(self.walk(from, rest, depth)),
            "super" => Some(self.walk(self.modules[from].parent?, rest, depth)),
            name => match self.look_up(from, name, rest.is_empty(), depth)? {
                Found::Module(module) => Some(self.walk(module, rest, depth)),
                found => Some(found),
            },
        }
    }

    /// Follows `path` from `module` down.
    fn walk(&self, module: Id, path: &[String], depth: usize) -> Found {
        let Some((first, rest)) = path.split_first() else { return Found::Module(module) };
        if first == "super" {
            return self.modules[module]
                .parent
                .map_or(Found::Foreign, |parent| self.walk(parent, rest, depth));
        }
        match self.look_up(module, first, rest.is_empty(), depth) {
            Some(Found::Module(child)) => self.walk(child, rest, depth),
            Some(found) => found,
            // A macro of that module makes it.
            None => Found::Item(module),
        }
    }

    /// The meaning of `name` in `module`; `last` if the path ends there, else a module is meant.
    fn look_up(&self, module: Id, name: &str, last: bool, depth: usize) -> Option<Found> {
        let depth = depth.checked_sub(1)?;
        let names = self.modules[module].names.get(name).map_or(&[][..], |names| names);
        let rank = |name: &&Name| match name {
            Name::Item => !last,
            Name::Module(_) => last,
            Name::Import(_) => false,
        };
        let Some(best) = names.iter().min_by_key(rank) else {
            let globs = self.modules[module].globs.iter();
            return globs.filter_map(|glob| self.look_up_glob(module, glob, name, last, depth)).next();
        };
        match best {
            Name::Item => Some(Found::Item(module)),
            Name::Module(child) => Some(Found::Module(*child)),
            Name::Import(path) => Some(self.resolve(module, path, depth).unwrap_or(Found::Foreign)),
        }
    }

    fn look_up_glob(&self, from: Id, glob: &[String], name: &str, last: bool, depth: usize) -> Option<Found> {
        match self.resolve(from, glob, depth)? {
            Found::Module(module) => self.look_up(module, name, last, depth),
            Found::Item(_) | Found::Foreign => None,
        }
    }
}
