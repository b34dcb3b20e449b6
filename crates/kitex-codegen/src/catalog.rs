//! What pilota-build calls each thing of the IDL, and what is to become of it. Owns the plain data that
//! carries this from pilota-build's tree to the pass over its text; reads neither.

use std::collections::HashMap;

/// All items of all modules by module path and Rust name; renamed ones by both names.
pub(crate) type Catalog = HashMap<(Vec<String>, String), Entry>;

/// One item that pilota-build writes.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) fate: Fate,
    /// Where it stands in the output. Items of one rank stay in the order in which they were written.
    pub(crate) rank: Rank,
    pub(crate) docs: Vec<String>,
    /// The documentation of its fields, variants or values, in order.
    pub(crate) member_docs: Vec<Vec<String>>,
    /// Whether it is an exception, and so an error.
    pub(crate) is_exception: bool,
    /// The type of each variant by its id, if it travels as a struct with one field.
    pub(crate) variants: Vec<(i32, &'static str)>,
}

/// Types first, then services, then what only generated code uses; within each as in the IDL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(pub(crate) Section, pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Types,
    Services,
    Wrappers,
    /// What the catalog does not know: modules.
    Unknown,
}

/// What the pass does with an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// Nothing uses it: wrappers of streams, and pilota-build's twins.
    Goes,
    /// A wrapper of a call, which gets the name without `Send`.
    Becomes(String),
}

impl Entry {
    pub(crate) fn new(rank: Rank) -> Self {
        Self {
            fate: Fate::Stays,
            rank,
            docs: Vec::new(),
            member_docs: Vec::new(),
            is_exception: false,
            variants: Vec::new(),
        }
    }

    /// The same under the name that it gets, if it gets one.
    pub(crate) fn renamed(&self) -> Option<(String, Self)> {
        match &self.fate {
            Fate::Becomes(name) => Some((name.clone(), Self { fate: Fate::Stays, ..self.clone() })),
            Fate::Stays | Fate::Goes => None,
        }
    }
}
