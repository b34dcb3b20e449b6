//! Shortens paths to what a person would write: `Option<i64>`, not `::core::option::Option<i64>`. Only
//! for names that the module does not define itself.

use std::collections::HashSet;

use syn::{
    Item, Path, PathSegment,
    punctuated::Punctuated,
    visit_mut::{self, VisitMut},
};

/// Module and name of the items in the prelude.
const PRELUDE: [(&str, &str); 13] = [
    ("boxed", "Box"),
    ("clone", "Clone"),
    ("convert", "From"),
    ("convert", "Into"),
    ("default", "Default"),
    ("marker", "Send"),
    ("marker", "Sync"),
    ("option", "Option"),
    ("ops", "Drop"),
    ("result", "Result"),
    ("string", "String"),
    ("string", "ToString"),
    ("vec", "Vec"),
];

/// Variants in the prelude.
const VARIANTS: [(&str, &str); 4] =
    [("Option", "Some"), ("Option", "None"), ("Result", "Ok"), ("Result", "Err")];

/// Returns the names that a module gives to its items.
pub(crate) fn names(items: &[Item]) -> HashSet<String> {
    items.iter().filter_map(name).collect()
}

/// Returns an item of a module in which `taken` have a meaning of their own.
pub(crate) fn item(mut item: Item, taken: &HashSet<String>) -> Item {
    Shorten { taken }.visit_item_mut(&mut item);
    item
}

fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}

struct Shorten<'a> {
    taken: &'a HashSet<String>,
}

impl VisitMut for Shorten<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        if let Some(passed) = self.superfluous(path) {
            let kept: Punctuated<PathSegment, _> = path.segments.iter().skip(passed).cloned().collect();
            path.leading_colon = None;
            path.segments = kept;
        }
        visit_mut::visit_path_mut(self, path);
    }
}

impl Shorten<'_> {
    /// Returns the number of redundant segments of a path.
    fn superfluous(&self, path: &Path) -> Option<usize> {
        path.leading_colon?;
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let [library, module, name, rest @ ..] = names.as_slice() else { return None };
        let known = matches!(library.as_str(), "std" | "core") && PRELUDE.contains(&(module, name));
        if !known {
            return None;
        }
        match rest {
            [variant] if VARIANTS.contains(&(name, variant)) && !self.taken.contains(variant) => Some(3),
            _ if !self.taken.contains(name) => Some(2),
            _ => None,
        }
    }
}
