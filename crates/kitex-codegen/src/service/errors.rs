//! The error type of a method that throws. Owns its variants and conversions; the exceptions themselves are
//! structs.

use crate::model::Method;

/// Returns the error enum of a method and its trait implementations.
pub(super) fn error(method: &Method) -> String {
    let Method { wire_name, error, throws, .. } = method;
    let variants: String = throws.iter().map(variant).collect();
    let displays: String = throws
        .iter()
        .map(|(v, _)| format!("Self::{v}(error) => ::core::fmt::Display::fmt(error, f),"))
        .collect();
    let sources: String = throws
        .iter()
        .map(|(v, _)| format!("Self::{v}(error) => ::core::error::Error::source(error),"))
        .collect();
    let conversions: String =
        throws.iter().filter(|throw| is_only(throw, throws)).map(|t| from(error, t)).collect();
    format!(
        "/// The errors of `{wire_name}`.
        #[derive(Debug)]
        pub enum {error} {{
            {variants}
/// Any other error, of the call, the connection or the handler.
            Other(::kitex::Error),
        }}

        {conversions}

        impl ::core::convert::From<::kitex::Error> for {error} {{
            fn from(error: ::kitex::Error) -> Self {{ Self::Other(error) }}
        }}

        impl ::core::fmt::Display for {error} {{
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{
                match self {{ {displays} Self::Other(error) => ::core::fmt::Display::fmt(error, f) }}
            }}
        }}

        impl ::core::error::Error for {error} {{
            fn source(&self) -> ::core::option::Option<&(dyn ::core::error::Error + 'static)> {{
                match self {{ {sources} Self::Other(error) => ::core::error::Error::source(error) }}
            }}
        }}"
    )
}

fn variant((variant, ty): &(String, String)) -> String {
    format!("/// The method threw `{variant}`.\n{variant}({ty}),")
}

fn from(error: &str, (variant, ty): &(String, String)) -> String {
    format!(
        "impl ::core::convert::From<{ty}> for {error} {{
            fn from(error: {ty}) -> Self {{ Self::{variant}(error) }}
        }}"
    )
}

/// Returns whether no other exception has this type; otherwise the variant would be ambiguous.
fn is_only((_, ty): &(String, String), throws: &[(String, String)]) -> bool {
    throws.iter().filter(|(_, other)| other == ty).count() == 1
}
