//! Errors of Kitex calls and streams: codes, kinds, sides, cancel paths, business errors, gRPC statuses, and the
//! wire form of an error. The texts are exactly those of CloudWeGo Kitex v0.16.3.
//!
//! Depends on no stream, no socket and no other crate of this workspace.
//!
//! ```
//! use kerrors::{CancelPath, Code, Side, StreamError};
//!
//! let seen = StreamError::new(Code::CANCELED).on_side(Side::Server).with_path(CancelPath::of("ServiceA"));
//! assert!(seen.is_canceled());
//! assert_eq!(seen.code(), Code::CANCELED);
//! assert_eq!(seen.path().unwrap().services().collect::<Vec<_>>(), ["ServiceA"]);
//! assert!(seen.to_string().starts_with(
//!     "[ttstream error, code=12007] [server-side stream] [canceled path: ServiceA] user code invoking"
//! ));
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod biz;
mod code;
mod error;
mod exception;
mod grpc;
mod kind;
mod path;
mod stream;
mod text;
mod timeout;

pub use biz::BizStatusError;
pub use code::Code;
pub use error::{Error, Result};
pub use exception::{ApplicationException, ExceptionError, MessageBegin, MessageKind};
pub use grpc::GrpcStatus;
pub use kind::ErrorKind;
pub use path::{BadServiceName, CancelPath, NON_TTSTREAM_PATH, check_service_name};
pub use stream::{Side, StreamError};
pub use text::Escaped;
pub use timeout::{GoDuration, RecvTimeout};
