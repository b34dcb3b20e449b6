//! Attributes that a user adds to generated types.

use crate::ast::{Annotations, Field, Item};

/// The annotation that adds attributes to a type or a field.
const ATTRIBUTES: [&str; 1] = ["rust.attributes"];

/// Attributes by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The name of a type, or `.` for all, and the attribute.
    pub(crate) types: Vec<(String, String)>,
    /// `Type.field` and the attribute.
    pub(crate) fields: Vec<(String, String)>,
}

impl Options {
    /// Returns the attributes of a type.
    pub(crate) fn item(&self, item: &Item) -> String {
        let chosen = self.types.iter().filter(|(name, _)| name == "." || *name == item.name);
        joined(chosen.map(|(_, attribute)| attribute.as_str()), &item.annotations)
    }

    /// Returns the attributes of a field or variant of the type `owner`.
    pub(crate) fn field(&self, owner: &str, field: &Field) -> String {
        let path = format!("{owner}.{}", field.name);
        let chosen = self.fields.iter().filter(|(name, _)| *name == path);
        joined(chosen.map(|(_, attribute)| attribute.as_str()), &field.annotations)
    }
}

fn joined<'a>(chosen: impl Iterator<Item = &'a str>, annotations: &'a Annotations) -> String {
    let mut text: Vec<&str> = chosen.collect();
    text.extend(ATTRIBUTES.iter().flat_map(|key| annotations.all(key)));
    text.join("\n")
}
