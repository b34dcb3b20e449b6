//! The meaning of names in an IDL file. Owns lookup through includes and typedefs; refuses nothing
//! itself.

use std::collections::HashMap;

use crate::{
    ast::{Annotations, Item, ItemKind, Service, Type, TypeKind, Value},
    idl::{Idl, Source},
};

/// The file of an item and its place there.
pub(crate) type Id = (usize, usize);

/// The items of all files by file and name.
pub(crate) struct Scope<'a> {
    pub(crate) idl: &'a Idl,
    items: HashMap<(usize, &'a str), usize>,
}

/// A type with its names looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    /// Whether it is a Rust `String`.
    Text(bool),
    /// Whether it is a `Vec<u8>`.
    Binary(bool),
    Uuid,
    List(Box<Ty>),
    /// Whether it is a B-tree.
    Set(Box<Ty>, bool),
    Map(Box<Ty>, Box<Ty>, bool),
    Enum(Id),
    /// A struct, union or exception.
    Struct(Id),
    Alias(Id, Box<Ty>),
}

impl Ty {
    /// Returns the type without its alias.
    pub(crate) fn peeled(&self) -> &Self {
        match self {
            Self::Alias(_, ty) => ty.peeled(),
            other => other,
        }
    }

    /// Returns its kind if it is encoded as a struct.
    pub(crate) fn as_struct(&self) -> Option<Id> {
        match self.peeled() {
            Self::Struct(id) => Some(*id),
            _ => None,
        }
    }
}

/// The meaning of a name in a value.
pub(crate) enum Named<'a> {
    Const(Id, &'a Value),
    /// A value of an enum.
    Number(i64),
}

impl<'a> Scope<'a> {
    pub(crate) fn new(idl: &'a Idl) -> Self {
        let mut items = HashMap::new();
        for (file, source) in idl.sources.iter().enumerate() {
            for (at, item) in source.file.items.iter().enumerate() {
                items.entry((file, item.name.as_str())).or_insert(at);
            }
        }
        Self { idl, items }
    }

    pub(crate) fn source(&self, file: usize) -> &'a Source {
        &self.idl.sources[file]
    }

    pub(crate) fn item(&self, (file, at): Id) -> &'a Item {
        &self.idl.sources[file].file.items[at]
    }

    /// Returns all items, in the order of the files.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (Id, &'a Item)> + use<'a> {
        self.idl.sources.iter().enumerate().flat_map(|(file, source)| {
            source.file.items.iter().enumerate().map(move |(at, item)| ((file, at), item))
        })
    }

    /// Returns what `name` or `prefix.name` means in `file`. Of several files with one prefix, the first that has it.
    pub(crate) fn find(&self, file: usize, name: &str) -> Option<Id> {
        if let Some(at) = self.items.get(&(file, name)) {
            return Some((file, *at));
        }
        let (prefix, name) = name.rsplit_once('.')?;
        let included = self.idl.sources[file].includes.iter().filter(|(known, _)| known == prefix);
        included.into_iter().find_map(|(_, file)| Some((*file, *self.items.get(&(*file, name))?)))
    }

    /// Returns the type with its names looked up. `check` has verified that they exist and that typedefs are not cyclic.
    pub(crate) fn ty(&self, file: usize, ty: &Type) -> Ty {
        self.ty_with(file, ty, &ty.annotations)
    }

    /// Returns the type of a field like [`ty`](Self::ty), with the field's own annotations.
    pub(crate) fn ty_with(&self, file: usize, ty: &Type, annotations: &Annotations) -> Ty {
        let rust_type = annotations.first(&RUST_TYPE).or_else(|| ty.annotations.first(&RUST_TYPE));
        let is = |name: &str| rust_type == Some(name);
        match &ty.kind {
            TypeKind::Bool => Ty::Bool,
            TypeKind::I8 => Ty::I8,
            TypeKind::I16 => Ty::I16,
            TypeKind::I32 | TypeKind::Void => Ty::I32,
            TypeKind::I64 => Ty::I64,
            TypeKind::Double => Ty::Double,
            TypeKind::String => Ty::Text(is("string")),
            TypeKind::Binary => Ty::Binary(is("vec")),
            TypeKind::List(element) => Ty::List(Box::new(self.ty(file, element))),
            TypeKind::Set(element) => Ty::Set(Box::new(self.ty(file, element)), is("btree")),
            TypeKind::Map(key, value) => {
                Ty::Map(Box::new(self.ty(file, key)), Box::new(self.ty(file, value)), is("btree"))
            }
            TypeKind::Named(name) => match self.find(file, name) {
                None => Ty::Uuid,
                Some(id) => match &self.item(id).kind {
                    ItemKind::Typedef(ty) => Ty::Alias(id, Box::new(self.ty(id.0, ty))),
                    ItemKind::Enum(_) => Ty::Enum(id),
                    _ => Ty::Struct(id),
                },
            },
        }
    }

    /// Returns what `name` means as a value in `file`: a constant, or `Enum.VALUE`.
    pub(crate) fn value(&self, file: usize, name: &str) -> Option<Named<'a>> {
        if let Some(id) = self.find(file, name)
            && let ItemKind::Const(_, value) = &self.item(id).kind
        {
            return Some(Named::Const(id, value));
        }
        let (of, value) = name.rsplit_once('.')?;
        self.enum_value(self.find(file, of)?, value).map(Named::Number)
    }

    /// Returns the number of a value of an enum, which may be called by a typedef.
    pub(crate) fn enum_value(&self, id: Id, value: &str) -> Option<i64> {
        match &self.item(id).kind {
            ItemKind::Enum(values) => {
                values.iter().find(|known| known.name == value).map(|known| known.number)
            }
            ItemKind::Typedef(ty) => match self.ty(id.0, ty).peeled() {
                Ty::Enum(id) => self.enum_value(*id, value),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the service that a service extends.
    pub(crate) fn base(&self, file: usize, service: &Service) -> Option<(Id, &'a Service)> {
        let id = self.find(file, service.extends.as_ref()?)?;
        match &self.item(id).kind {
            ItemKind::Service(base) => Some((id, base)),
            _ => None,
        }
    }
}

/// The annotation that selects another Rust type for a base type or container.
const RUST_TYPE: [&str; 2] = ["rust.type", "pilota.rust_type"];
