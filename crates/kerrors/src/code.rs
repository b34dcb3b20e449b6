//! The table of codes: number, name, kind and text. Everything else derives from it.

use std::fmt;

use crate::ErrorKind;

/// The code of a stream error. A peer may send any `i32`; those of the table have a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(i32);

macro_rules! codes {
    ($($number:literal $name:ident $kind:ident $message:literal;)*) => {
        impl Code {
            $(
                #[doc = concat!("`", stringify!($number), "`: ", $message)]
                pub const $name: Self = Self($number);
            )*

/// Every code of the table, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

/// Returns the code's own text; empty for a code that is not in the table.
            pub const fn message(self) -> &'static str {
                match self.0 { $($number => $message,)* _ => "" }
            }

            /// The kind of an error that arises here with this code. An error that a peer's Rst frame
            /// brought is of kind [`ErrorKind::Canceled`] whatever its code.
            pub const fn kind(self) -> ErrorKind {
                match self.0 { $($number => ErrorKind::$kind,)* _ => ErrorKind::Canceled }
            }

            const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

codes! {
    12001 APPLICATION Application "application exception";
    12002 UNEXPECTED_HEADER Protocol "unexpected header frame";
    12003 ILLEGAL_BIZ_ERROR Protocol "illegal bizErr";
    12004 ILLEGAL_FRAME Protocol "illegal frame";
    12005 ILLEGAL_OPERATION Protocol "illegal operation";
    12006 TRANSPORT_CLOSING Connection "transport is closing";
    12007 CANCELED Canceled "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
    12008 CANCELED_WITH_CAUSE Canceled "user code canceled with cancelCause(error)";
    12009 CANCELED_BY_DOWNSTREAM Canceled "canceled by downstream";
    12010 CANCELED_BY_UPSTREAM Canceled "canceled by upstream";
    12011 INTERNAL_CANCELED Canceled "internal canceled";
    12012 HANDLER_RETURNED Canceled "canceled by business handler returning";
    12013 CONNECTION_CLOSED Canceled "canceled by connection closed";
    12014 RECV_TIMEOUT Timeout "stream Recv timeout";
    12015 STREAM_TIMEOUT Timeout "stream timeout";
    12900 TOO_MANY_STREAMS Refused "too many streams or handlers on this connection: retry later or on another connection";
    12901 SLOW_CONSUMER Refused "receive buffer is full: the consumer is slower than the sender";
    12903 DRAINING Refused "server is shutting down: retry on another";
    12904 SEND_TIMEOUT Timeout "stream Send timeout";
    12905 IDLE_TIMEOUT Timeout "stream idle timeout";
}

impl Code {
    /// Wraps a number received from a peer.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({})", self.0),
            None => write!(f, "Code({})", self.0),
        }
    }
}
