//! The size of types, which of them are recursive, and which can be hashed. Owns the choice of boxes and of sets
//! and maps; writes no code.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use crate::{
    ast::{Field, ItemKind, Requiredness},
    scope::{Id, Scope, Ty},
};

/// An optional struct whose estimated size in bytes is above this is boxed, so that an absent one takes little memory.
const OPTIONAL: usize = 128;

/// The same for a required one, which is always present.
const REQUIRED: usize = 1024;

/// Properties of the types of all files.
pub(crate) struct Layout<'a> {
    scope: &'a Scope<'a>,
    /// Structs whose values have no hash and no order.
    unhashable: HashSet<Id>,
    /// For each struct, the structs that it contains directly, not in a container.
    held: HashMap<Id, HashSet<Id>>,
    /// The same through required fields alone.
    required: HashMap<Id, HashSet<Id>>,
    sizes: RefCell<HashMap<Id, usize>>,
}

/// How a field of a struct is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// In an `Option`.
    pub(crate) optional: bool,
    pub(crate) boxed: bool,
    /// In an `Arc`.
    pub(crate) shared: bool,
}

impl<'a> Layout<'a> {
    pub(crate) fn new(scope: &'a Scope<'a>) -> Self {
        let mut layout = Self {
            scope,
            unhashable: HashSet::new(),
            held: HashMap::new(),
            required: HashMap::new(),
            sizes: RefCell::default(),
        };
        layout.find_unhashable();
        layout.held = layout.reached(|_, _| true);
        layout.required =
            layout.reached(|is_struct, field| is_struct && field.requiredness == Requiredness::Required);
        layout
    }

    /// Returns the type of a field.
    pub(crate) fn field_ty(&self, file: usize, field: &Field) -> Ty {
        self.scope.ty_with(file, &field.ty, &field.annotations)
    }

    /// Returns how `owner` stores a field.
    pub(crate) fn slot(&self, owner: Id, field: &Field) -> Slot {
        let ty = self.field_ty(owner.0, field);
        let is_required = field.requiredness == Requiredness::Required;
        let wish = |key: &str| field.annotations.first(&[key]);
        let shared = field.annotations.first(&["rust.arc", "pilota.rust_wrapper_arc"]) == Some("true");
        let Some(id) = ty.as_struct() else { return Slot { optional: !is_required, boxed: false, shared } };
        // A value that must contain itself cannot exist: Kitex leaves it nil.
        let is_endless = self.required.get(&id).is_some_and(|held| held.contains(&owner));
        let holds_owner = self.held.get(&id).is_some_and(|held| held.contains(&owner));
        let limit = if is_required { REQUIRED } else { OPTIONAL };
        let boxed = match wish("rust.box") {
            _ if shared => false,
            _ if holds_owner => true,
            Some(wish) => wish == "true",
            None => self.struct_size(id) > limit,
        };
        Slot { optional: !is_required || is_endless, boxed, shared }
    }

    /// Returns whether values of the type can be keys of a hash table or a B-tree.
    pub(crate) fn is_hashable(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Double => false,
            Ty::Set(element, is_btree) => *is_btree && self.is_hashable(element),
            Ty::Map(key, value, is_btree) => *is_btree && self.is_hashable(key) && self.is_hashable(value),
            Ty::List(element) => self.is_hashable(element),
            Ty::Alias(_, ty) => self.is_hashable(ty),
            Ty::Struct(id) => self.is_struct_hashable(*id),
            _ => true,
        }
    }

    pub(crate) fn is_struct_hashable(&self, id: Id) -> bool {
        !self.unhashable.contains(&id)
    }

    fn find_unhashable(&mut self) {
        loop {
            let found: Vec<Id> = self
                .structs()
                .filter(|(id, fields)| {
                    let hashable = |field: &Field| self.is_hashable(&self.field_ty(id.0, field));
                    self.is_struct_hashable(*id) && !fields.iter().all(hashable)
                })
                .map(|(id, _)| id)
                .collect();
            if found.is_empty() {
                return;
            }
            self.unhashable.extend(found);
        }
    }

    fn structs(&self) -> impl Iterator<Item = (Id, &'a [Field])> + use<'a> {
        self.scope.ids().filter_map(|(id, item)| Some((id, item.fields()?)))
    }

    /// For each struct, the structs that are reachable through fields. `counts` selects fields; its first argument
    /// is whether the owner is not a union.
    fn reached(&self, counts: impl Fn(bool, &Field) -> bool) -> HashMap<Id, HashSet<Id>> {
        let direct: HashMap<Id, Vec<Id>> = self
            .structs()
            .map(|(id, fields)| {
                let is_struct = !matches!(self.scope.item(id).kind, ItemKind::Union(_));
                let fields = fields.iter().filter(|field| counts(is_struct, field));
                (id, fields.filter_map(|field| self.field_ty(id.0, field).as_struct()).collect())
            })
            .collect();
        let reached = |id: &Id| {
            let (mut seen, mut open) = (HashSet::new(), vec![*id]);
            while let Some(id) = open.pop() {
                for next in direct.get(&id).into_iter().flatten() {
                    if seen.insert(*next) {
                        open.push(*next);
                    }
                }
            }
            // A recursive struct is reachable from itself.
            seen
        };
        direct.keys().map(|id| (*id, reached(id))).collect()
    }

    /// Returns an estimate for a 64-bit machine.
    pub(crate) fn size(&self, ty: &Ty) -> usize {
        match ty {
            Ty::Bool | Ty::I8 => 1,
            Ty::I16 => 2,
            Ty::I32 | Ty::Enum(_) => 4,
            Ty::I64 | Ty::Double => 8,
            Ty::Text(false) | Ty::Binary(false) => 32,
            Ty::Uuid => 16,
            Ty::Text(true) | Ty::Binary(true) | Ty::List(_) => 24,
            Ty::Set(element, false) if self.is_hashable(element) => 64,
            Ty::Map(key, _, false) if self.is_hashable(key) => 64,
            Ty::Set(..) | Ty::Map(..) => 24,
            Ty::Struct(id) => self.struct_size(*id),
            Ty::Alias(_, ty) => self.size(ty),
        }
    }

    pub(crate) fn struct_size(&self, id: Id) -> usize {
        if let Some(size) = self.sizes.borrow().get(&id) {
            return *size;
        }
        // A recursive struct is boxed, so its size is not used; if it were, it is large.
        self.sizes.borrow_mut().insert(id, REQUIRED * 2);
        let item = self.scope.item(id);
        let fields = item.fields().unwrap_or_default().iter().map(|field| self.slot_size(id, field));
        let size = match item.kind {
            ItemKind::Union(_) => fields.max().unwrap_or(0).saturating_add(8),
            _ => fields.fold(0, usize::saturating_add),
        };
        self.sizes.borrow_mut().insert(id, size);
        size
    }

    fn slot_size(&self, owner: Id, field: &Field) -> usize {
        let slot = self.slot(owner, field);
        if slot.boxed || slot.shared {
            return 8;
        }
        let ty = self.field_ty(owner.0, field);
        match ty.peeled() {
            Ty::Bool | Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 | Ty::Double | Ty::Enum(_) if slot.optional => {
                self.size(&ty) * 2
            }
            _ => self.size(&ty),
        }
    }
}
