//! Why a server cannot be bound.

use std::io;

use kerrors::BadServiceName;
use thiserror::Error;

/// Why a server cannot be bound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The name is not valid in a cancel path.
    #[error(transparent)]
    Name(#[from] BadServiceName),
    /// Two services have the same IDL name and a method of the same name, so that a call would be ambiguous.
    #[error("service {service} is added twice: remove one")]
    Duplicate {
        /// The service's name in the IDL.
        service: String,
    },
    /// An [`OnCancel`](super::OnCancel) policy names a method that no service has.
    #[error("no service has a method {service}.{method}: check ServerBuilder::on_cancel_of")]
    NoSuchMethod {
        /// The service, as given.
        service: String,
        /// The method, as given.
        method: String,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// The address, as given.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": stop the other process or choose another port",
        io::ErrorKind::PermissionDenied => ": choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => ": the host has no such address",
        io::ErrorKind::InvalidInput => ": give host:port",
        _ => "",
    }
}
