//! A service as input of the templates: names and types as Rust text. Plain data, built from the syntax tree,
//! which the templates do not depend on.

use crate::mode::Mode;

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The package in the path of a gRPC request.
    pub(crate) package: String,
    /// The name on the wire.
    pub(crate) wire_name: String,
    /// The trait's name.
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) client: String,
    /// The name of the table of methods.
    pub(crate) table: String,
    pub(crate) docs: Vec<String>,
    /// Inherited methods first, as in Kitex.
    pub(crate) methods: Vec<Method>,
}

/// The encoding of a method's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Thrift,
    #[cfg_attr(not(feature = "protobuf"), allow(dead_code, reason = "read from .proto files alone"))]
    Protobuf,
}

impl Codec {
    /// What a stream's type names behind its messages: nothing for the encoding that is the default.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Thrift => "",
            Self::Protobuf => ", ::kitex::Protobuf",
        }
    }
}

/// A method of a service, its own or inherited.
#[derive(Debug)]
pub(crate) struct Method {
    /// The name on the wire.
    pub(crate) wire_name: String,
    pub(crate) name: String,
    pub(crate) docs: Vec<String>,
    pub(crate) mode: Mode,
    pub(crate) codec: Codec,
    pub(crate) oneway: bool,
    /// Name and type, in the IDL's order.
    pub(crate) args: Vec<(String, String)>,
    /// `()` for void.
    pub(crate) result: String,
    /// Variant and type of each exception.
    pub(crate) throws: Vec<(String, String)>,
    /// The error type of a method that throws; a path if it is inherited.
    pub(crate) error: String,
    /// The struct of its arguments; a path if it is inherited.
    pub(crate) args_type: String,
    /// The enum of its outcomes; a path if it is inherited.
    pub(crate) result_type: String,
    /// Whether the error type is defined here.
    pub(crate) own: bool,
}

impl Method {
    /// Returns the type of the outcome for the caller and the handler.
    pub(crate) fn outcome(&self) -> String {
        match self.throws.is_empty() {
            true => format!("::kitex::Result<{}>", self.result),
            false => format!("::core::result::Result<{}, {}>", self.result, self.error),
        }
    }

    /// Returns the expression of the response; the unit value if there is none.
    pub(crate) fn response(&self) -> &'static str {
        if self.is_void() { "()" } else { "response" }
    }

    pub(crate) fn is_void(&self) -> bool {
        self.result == "()"
    }

    /// Returns the type of a streaming method's one argument.
    pub(crate) fn request(&self) -> &str {
        self.args.first().map_or("()", |(_, ty)| ty)
    }

    /// Returns `a: A, b: B`, each with a comma before it.
    pub(crate) fn parameters(&self) -> String {
        self.args.iter().map(|(name, ty)| format!(", {name}: {ty}")).collect()
    }

    /// Returns `a, b`.
    pub(crate) fn argument_names(&self) -> String {
        self.args.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns `name` with enough trailing underscores to differ from the arguments.
    pub(crate) fn fresh(&self, name: &str) -> String {
        let mut fresh = name.to_owned();
        while self.args.iter().any(|(arg, _)| *arg == fresh) {
            fresh.push('_');
        }
        fresh
    }
}
