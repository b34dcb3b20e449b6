//! A service as its code needs it: names and types as Rust text. Owns the plain data between the IDL's tree,
//! which fills it, and the templates, which read it; neither knows the other.

use crate::mode::Mode;

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name on the wire.
    pub(crate) wire_name: String,
    /// The trait's name.
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) client: String,
    /// The name of the table of methods.
    pub(crate) table: String,
    pub(crate) docs: Vec<String>,
    /// Those of the services it extends first, as Kitex has them.
    pub(crate) methods: Vec<Method>,
}

/// A method of a service, its own or inherited.
#[derive(Debug)]
pub(crate) struct Method {
    /// The name on the wire.
    pub(crate) wire_name: String,
    pub(crate) name: String,
    pub(crate) docs: Vec<String>,
    pub(crate) mode: Mode,
    pub(crate) oneway: bool,
    /// Name and type, in the IDL's order.
    pub(crate) args: Vec<(String, String)>,
    /// `()` for void.
    pub(crate) result: String,
    /// Variant and type of what it throws.
    pub(crate) throws: Vec<(String, String)>,
    /// The error type of a method that throws; a path if it is inherited.
    pub(crate) error: String,
    /// The struct of its arguments; a path if it is inherited.
    pub(crate) args_type: String,
    /// The enum of its outcomes; a path if it is inherited.
    pub(crate) result_type: String,
    /// Whether the error type is to be written here.
    pub(crate) own: bool,
}

impl Method {
    /// What the caller and the handler see as the type of the outcome.
    pub(crate) fn outcome(&self) -> String {
        match self.throws.is_empty() {
            true => format!("::kitex::Result<{}>", self.result),
            false => format!("::core::result::Result<{}, {}>", self.result, self.error),
        }
    }

    /// What stands for the response where it is passed on: nothing is worth a name if there is none.
    pub(crate) fn response(&self) -> &'static str {
        if self.is_void() { "()" } else { "response" }
    }

    pub(crate) fn is_void(&self) -> bool {
        self.result == "()"
    }

    /// The type of a streaming method's one argument.
    pub(crate) fn request(&self) -> &str {
        self.args.first().map_or("()", |(_, ty)| ty)
    }

    /// `a: A, b: B`, each with a comma before it.
    pub(crate) fn parameters(&self) -> String {
        self.args.iter().map(|(name, ty)| format!(", {name}: {ty}")).collect()
    }

    /// `a, b`.
    pub(crate) fn argument_names(&self) -> String {
        self.args.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// `name`, or with as many underscores after it as keep it apart from the arguments.
    pub(crate) fn fresh(&self, name: &str) -> String {
        let mut fresh = name.to_owned();
        while self.args.iter().any(|(arg, _)| *arg == fresh) {
            fresh.push('_');
        }
        fresh
    }
}
