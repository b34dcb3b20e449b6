//! Turns panics of the libraries that read IDLs into text. Owns the panic hook's silence on the threads they
//! run on, and on no other.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it becomes what it said, on one line, and prints nothing.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = silence_this_thread();
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    result.map_err(|panic| one_line(panic.as_ref()))
}

/// Keeps the panic hook from printing panics of this thread. Says whether it already did.
///
/// pilota-build works on threads of its own; they pass through our backend before anything in them can panic.
pub(crate) fn silence_this_thread() -> bool {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                print(panic);
            }
        }));
    });
    QUIET.replace(true)
}

fn one_line(panic: &(dyn Any + Send)) -> String {
    let literal = || panic.downcast_ref::<&str>().copied();
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(literal).unwrap_or("no reason given");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
