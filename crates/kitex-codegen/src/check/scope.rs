//! What a name in an IDL file stands for. Owns lookup through includes and typedefs; refuses nothing by
//! itself.

use std::collections::HashMap;

use pilota_thrift_parser::{Item, Path, Service, Ty, Type};

use crate::idl::{Idl, Source, names};

/// The items of all files by file and name.
pub(crate) struct Scope<'a> {
    pub(crate) idl: &'a Idl,
    items: HashMap<(usize, &'a str), &'a Item>,
}

/// An item and the file it is in.
pub(crate) type Found<'a> = (usize, &'a Item);

impl<'a> Scope<'a> {
    pub(crate) fn new(idl: &'a Idl) -> Self {
        let mut items = HashMap::new();
        for (at, source) in idl.sources.iter().enumerate() {
            items.extend(named(source).map(|(name, item)| ((at, name), item)));
        }
        Self { idl, items }
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = (usize, &'a Source)> + use<'a> {
        self.idl.sources.iter().enumerate()
    }

    /// What `name` or `prefix.name` means in the file `at`.
    pub(crate) fn find(&self, at: usize, path: &Path) -> Option<Found<'a>> {
        self.find_names(at, &names(path))
    }

    pub(crate) fn find_names(&self, at: usize, names: &[&str]) -> Option<Found<'a>> {
        let (name, prefix) = names.split_last()?;
        let at = match prefix {
            [] => at,
            _ => self.included(at, &prefix.join("."))?,
        };
        self.items.get(&(at, *name)).map(|item| (at, *item))
    }

    fn included(&self, at: usize, prefix: &str) -> Option<usize> {
        let mut includes = self.idl.sources[at].includes.iter();
        includes.find(|(name, _)| name == prefix).map(|(_, included)| *included)
    }

    /// The item behind a type, through all typedefs. `None` for a base type or a container.
    pub(crate) fn behind(&self, at: usize, ty: &'a Type) -> Option<Found<'a>> {
        let mut place = (at, ty);
        // A typedef that leads to itself is refused elsewhere; here it just must not go on for ever.
        for _ in 0..=self.items.len() {
            let Ty::Path(path) = &place.1.0 else { return None };
            match self.find(place.0, path)? {
                (at, Item::Typedef(typedef)) => place = (at, &typedef.r#type),
                found => return Some(found),
            }
        }
        None
    }

    /// Whether a type travels as a struct.
    pub(crate) fn is_struct(&self, at: usize, ty: &'a Type) -> bool {
        matches!(self.behind(at, ty), Some((_, Item::Struct(_) | Item::Union(_) | Item::Exception(_))))
    }

    /// The service that a service extends.
    pub(crate) fn base(&self, at: usize, service: &Service) -> Option<(usize, &'a Service)> {
        match self.find(at, service.extends.as_ref()?)? {
            (at, Item::Service(base)) => Some((at, base)),
            _ => None,
        }
    }
}

/// The items of a file that have a name.
pub(crate) fn named(source: &Source) -> impl Iterator<Item = (&str, &Item)> {
    source.file.items.iter().filter_map(|item| name(item).map(|name| (name, item)))
}

/// The name of an item, as the IDL has it.
pub(crate) fn name(item: &Item) -> Option<&str> {
    Some(match item {
        Item::Typedef(typedef) => typedef.alias.as_str(),
        Item::Constant(constant) => constant.name.as_str(),
        Item::Enum(e) => e.name.as_str(),
        Item::Struct(s) => s.name.as_str(),
        Item::Union(u) => u.name.as_str(),
        Item::Exception(e) => e.name.as_str(),
        Item::Service(s) => s.name.as_str(),
        Item::Include(_) | Item::CppInclude(_) | Item::Namespace(_) => return None,
    })
}
