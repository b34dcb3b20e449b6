//! The error that a handler returned, on its way to a transport. Writing its text and dropping it is user code, so
//! transports get the text in place of the user's value.

use kerrors::{ApplicationException, Error};

use crate::call::HandlerError;
use crate::guard::{guarded, report};

/// Returns the error without the user's value, which is dropped. If its text cannot be written, the handler counts as one
/// that panicked. `call` is `Service.Method`.
pub(super) fn sealed(error: HandlerError, call: &str) -> HandlerError {
    let error = match error {
        // The others have a text of their own.
        HandlerError::Returned(
            error @ (Error::Other(_) | Error::Codec(_) | Error::Network(_) | Error::Context { .. }),
        ) => error,
        error => return error,
    };
    let sealed = match (guarded(|| error.to_string()), &error) {
        (Err(text), _) => HandlerError::Refused(ApplicationException::panicked(call, &text)),
        (Ok(text), Error::Other(_)) => HandlerError::Returned(Error::other(text)),
        (Ok(text), Error::Codec(_)) => HandlerError::Returned(Error::codec(text)),
        // Transports look for a status in the others.
        (Ok(_), _) => return HandlerError::Returned(error),
    };
    if let Err(text) = guarded(move || drop(error)) {
        report("the drop of a handler's error", &text);
    }
    sealed
}
