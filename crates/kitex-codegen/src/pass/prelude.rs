//! Paths become as short as a person would write them: `Option<i64>`, not `::std::option::Option<i64>`. Only
//! for names that the module does not give to something else.

use std::collections::HashSet;

use syn::{
    Item, ItemMod, Path, PathSegment,
    punctuated::Punctuated,
    visit_mut::{self, VisitMut},
};

use super::facade::in_macro;

/// Module and name of what every Rust module sees.
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

/// Variants that are seen without their enum.
const VARIANTS: [(&str, &str); 4] =
    [("Option", "Some"), ("Option", "None"), ("Result", "Ok"), ("Result", "Err")];

pub(super) fn module(module: &mut ItemMod) {
    let Some((_, items)) = &mut module.content else { return };
    let mut shorten = Shorten { taken: items.iter().filter_map(name).collect() };
    for item in items {
        match item {
            Item::Mod(inner) => self::module(inner),
            item => shorten.visit_item_mut(item),
        }
    }
}

fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        _ => return None,
    })
}

struct Shorten {
    taken: HashSet<String>,
}

impl VisitMut for Shorten {
    fn visit_path_mut(&mut self, path: &mut Path) {
        if let Some(passed) = self.superfluous(path) {
            let kept: Punctuated<PathSegment, _> = path.segments.iter().skip(passed).cloned().collect();
            path.leading_colon = None;
            path.segments = kept;
        }
        visit_mut::visit_path_mut(self, path);
    }

    fn visit_macro_mut(&mut self, m: &mut syn::Macro) {
        in_macro(m, |arguments| arguments.iter_mut().for_each(|argument| self.visit_expr_mut(argument)));
    }
}

impl Shorten {
    /// How many segments of a path say nothing that its rest does not.
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
