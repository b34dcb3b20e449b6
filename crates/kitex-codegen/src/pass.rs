//! One pass over what pilota-build wrote, without which it is not safe on a peer's bytes. Owns the order of
//! its steps and the count of what they met; knows no IDL.
//!
//! pilota-build is pinned, and a step that does not meet what it expects is an error, not a shrug: [`verify`]
//! looks at the result for whatever should be gone.

mod decode;
mod derives;
mod encode;
mod facade;
mod items;
mod prelude;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;

use syn::{Item, ItemMod};

use crate::{Error, catalog::Catalog};

/// What the pass met, for the test that notices when pilota-build changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// `impl Message` blocks that stay.
    pub(crate) messages: usize,
    /// Items that went.
    pub(crate) dropped: usize,
    /// Wrappers that lost their suffix.
    pub(crate) renamed: usize,
    pub(crate) lists: usize,
    pub(crate) sets: usize,
    pub(crate) maps: usize,
    pub(crate) boxes: usize,
    /// Variants of unions and results that now look at the type.
    pub(crate) guards: usize,
    /// Results that may lack everything.
    pub(crate) results: usize,
    /// Lengths that were computed while decoding, for nothing.
    pub(crate) lengths: usize,
    /// Paths to `::pilota`.
    pub(crate) paths: usize,
}

/// Turns pilota-build's text into the modules that are written out.
///
/// # Errors
///
/// [`Error::Shape`] if the text does not look as the pinned pilota-build writes it.
pub(crate) fn run(idl: &Path, text: &str, catalog: &Catalog) -> Result<(Vec<ItemMod>, Counts), Error> {
    let wrong = |message: String| Error::Shape { idl: idl.into(), message };
    let file = syn::parse_file(text).map_err(|error| wrong(error.to_string()))?;
    let mut counts = Counts::default();
    let mut modules = Vec::new();
    for mut module in outer(file.items).map_err(wrong)? {
        items::module(&mut module, &mut Vec::new(), catalog, &mut counts);
        decode::module(&mut module, catalog, &mut counts);
        facade::module(&mut module, &mut counts);
        derives::module(&mut module);
        prelude::module(&mut module);
        verify::module(&module, &counts).map_err(wrong)?;
        modules.push(module);
    }
    Ok((modules, counts))
}

/// The namespaces' modules. pilota-build puts one more around them, named after the output file.
fn outer(items: Vec<Item>) -> Result<Vec<ItemMod>, String> {
    let [Item::Mod(outer)] =
        <[Item; 1]>::try_from(items).map_err(|items| format!("{} outer items", items.len()))?
    else {
        return Err("no outer module".to_owned());
    };
    let (_, items) = outer.content.ok_or("an outer module without content")?;
    let module = |item| match item {
        Item::Mod(module) => Ok(module),
        _ => Err("an item outside of all namespaces".to_owned()),
    };
    items.into_iter().map(module).collect()
}
