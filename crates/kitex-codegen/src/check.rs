//! Refuses what cannot become code, before pilota-build sees it. Owns the order of the checks; each reads the
//! IDL and none writes code.

mod fields;
mod methods;
mod names;
mod scope;
mod types;

use crate::{Error, idl::Idl};
use scope::Scope;

/// Checks an IDL with its includes.
///
/// # Errors
///
/// The first thing that is wrong, with its file and line.
pub(crate) fn check(idl: &Idl) -> Result<(), Error> {
    let scope = Scope::new(idl);
    names::check(idl)?;
    types::check(&scope)?;
    fields::check(idl)?;
    methods::check(&scope)?;
    names::check_generated(idl)
}
