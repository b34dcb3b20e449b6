//! The syntax tree of an IDL file, with the lines that errors may name. Checks nothing.

/// A file.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Path and line.
    pub(crate) includes: Vec<(String, usize)>,
    /// Language and name.
    pub(crate) namespaces: Vec<(String, String)>,
    pub(crate) items: Vec<Item>,
}

/// A definition of a file.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) docs: Vec<String>,
    pub(crate) annotations: Annotations,
    pub(crate) kind: ItemKind,
}

#[derive(Debug)]
pub(crate) enum ItemKind {
    Typedef(Type),
    Const(Type, Value),
    Enum(Vec<EnumValue>),
    Struct(Vec<Field>),
    Union(Vec<Field>),
    Exception(Vec<Field>),
    Service(Service),
}

#[derive(Debug)]
pub(crate) struct EnumValue {
    pub(crate) name: String,
    pub(crate) number: i64,
    pub(crate) line: usize,
    pub(crate) docs: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) extends: Option<String>,
    pub(crate) functions: Vec<Function>,
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) docs: Vec<String>,
    pub(crate) oneway: bool,
    /// `None` for void.
    pub(crate) result: Option<Type>,
    pub(crate) arguments: Vec<Field>,
    pub(crate) throws: Vec<Field>,
    pub(crate) annotations: Annotations,
}

/// A field of a struct, an argument, or an exception of a method.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) id: i16,
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) docs: Vec<String>,
    pub(crate) requiredness: Requiredness,
    pub(crate) ty: Type,
    pub(crate) default: Option<Value>,
    pub(crate) annotations: Annotations,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requiredness {
    Default,
    Required,
    Optional,
}

#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub(crate) kind: TypeKind,
    pub(crate) line: usize,
    pub(crate) annotations: Annotations,
}

#[derive(Clone, Debug)]
pub(crate) enum TypeKind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    String,
    Binary,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>, Box<Type>),
    /// Also `uuid`, which an IDL may define as a name of its own.
    Named(String),
    Void,
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) kind: ValueKind,
    pub(crate) line: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum ValueKind {
    Int(i64),
    Double(f64),
    /// With its escapes.
    Text(String),
    Name(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// Keys and values in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations(pub(crate) Vec<(String, String)>);

impl Annotations {
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Returns the value of the first of these keys that is present.
    pub(crate) fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter()
            .find_map(|key| self.0.iter().find(|(known, _)| known == key))
            .map(|(_, value)| value.as_str())
    }
}

impl Item {
    /// Returns the fields of a struct, union or exception.
    pub(crate) fn fields(&self) -> Option<&[Field]> {
        match &self.kind {
            ItemKind::Struct(fields) | ItemKind::Union(fields) | ItemKind::Exception(fields) => Some(fields),
            _ => None,
        }
    }
}
