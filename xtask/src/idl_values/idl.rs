//! Random IDLs in which every kind of type occurs. Owns what a module holds and how it is written; each of them is
//! one that Kitex's tool accepts and the Go compiler builds.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::random::Random;

/// One IDL: its types, by number. Those of a kind are named by its letter and their number.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) number: usize,
    includes: Vec<usize>,
    enums: Vec<Vec<i64>>,
    typedefs: Vec<Type>,
    records: Vec<Record>,
    constants: Vec<(Type, String)>,
    methods: Vec<Method>,
}

/// A struct, union or exception.
#[derive(Debug)]
struct Record {
    kind: Kind,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Struct,
    Union,
    Exception,
}

#[derive(Debug)]
struct Field {
    id: i64,
    need: &'static str,
    ty: Type,
    name: String,
    default: Option<String>,
}

#[derive(Debug)]
struct Method {
    result: Option<Type>,
    arguments: Vec<Field>,
    throws: Vec<usize>,
    is_oneway: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Type {
    Scalar(&'static str),
    /// Module and number.
    Enum(usize, usize),
    Typedef(usize, usize),
    Record(usize, usize),
    List(Box<Self>),
    Set(Box<Self>),
    Map(Box<Self>, Box<Self>),
}

const SCALARS: [&str; 9] = ["bool", "byte", "i8", "i16", "i32", "i64", "double", "string", "binary"];
const NAMES: [&str; 8] = ["type", "self", "user_id", "userName", "Value", "match", "x", "ok"];

/// Types of a module that travel as values: structs, unions, exceptions, arguments and results.
const STRUCTS: usize = 20;
const UNIONS: usize = 5;
const EXCEPTIONS: usize = 3;
const METHODS: usize = 6;
const ENUMS: usize = 4;
const TYPEDEFS: usize = 6;
const CONSTANTS: usize = 5;
/// Levels of containers in one type.
const NESTING: usize = 3;

/// Makes a module that may use those before it.
pub(super) fn module(random: &mut Random, earlier: &[Module]) -> Module {
    let mut module = Module { number: earlier.len(), ..Module::default() };
    let includes: BTreeSet<usize> = (0..2).map(|_| random.below(earlier.len())).collect();
    module.includes = includes.into_iter().filter(|include| *include < earlier.len()).collect();
    module.enums = (0..ENUMS).map(|_| enumeration(random)).collect();
    let mut maker = Maker { random, earlier, module };
    for _ in 0..TYPEDEFS {
        let ty = maker.any(NESTING);
        maker.module.typedefs.push(ty);
    }
    for _ in 0..CONSTANTS {
        let ty = maker.any(2);
        if let Some(literal) = maker.literal(&ty, 2) {
            maker.module.constants.push((ty, literal));
        }
    }
    let kinds = [(Kind::Struct, STRUCTS), (Kind::Union, UNIONS), (Kind::Exception, EXCEPTIONS)];
    for (kind, count) in kinds {
        for _ in 0..count {
            let record = maker.record(kind);
            maker.module.records.push(record);
        }
    }
    maker.module.methods = (0..METHODS).map(|at| maker.method(at)).collect();
    maker.module
}

fn enumeration(random: &mut Random) -> Vec<i64> {
    let values: BTreeSet<i64> = (0..=random.below(5)).map(|_| random.between(-3, 12)).collect();
    values.into_iter().collect()
}

struct Maker<'a> {
    random: &'a mut Random,
    earlier: &'a [Module],
    module: Module,
}

impl Maker<'_> {
    fn record(&mut self, kind: Kind) -> Record {
        let mut ids = BTreeSet::new();
        let count = match kind {
            Kind::Union => 1 + self.random.below(6),
            _ => self.random.below(10),
        };
        let fields = (0..count).map(|at| self.field(kind, at, &mut ids)).collect();
        Record { kind, fields }
    }

    fn field(&mut self, kind: Kind, at: usize, ids: &mut BTreeSet<i64>) -> Field {
        let id = loop {
            let id = match self.random.below(20) {
                0 => self.random.between(256, 32_767),
                _ => self.random.between(1, 40),
            };
            if ids.insert(id) {
                break id;
            }
        };
        let name = format!("{}_{at}", self.random.pick(&NAMES).unwrap_or(&"x"));
        let ty = self.any(NESTING);
        if kind == Kind::Union {
            return Field { id, need: "", ty, name, default: None };
        }
        // A required struct that holds itself is an `Option` here, and no value at all in Kitex.
        let may_be_required = self.is_made(&ty);
        let need = match self.random.below(10) {
            0..3 if may_be_required => "required ",
            3..6 => "optional ",
            _ => "",
        };
        let (ty, default) = match self.random.below(10) {
            0 => self.random.pick(&self.module.constants).map_or((ty.clone(), None), |(known, _)| {
                let at = self.module.constants.iter().position(|(ty, _)| ty == known).unwrap_or_default();
                (known.clone(), Some(format!("C{at}")))
            }),
            1..4 => {
                let literal = self.literal(&ty, 2);
                (ty, literal)
            }
            _ => (ty, None),
        };
        Field { id, need, ty, name, default }
    }

    fn method(&mut self, at: usize) -> Method {
        let is_oneway = at == 0;
        let result = (!is_oneway && self.random.chance(80)).then(|| self.any(NESTING));
        let mut ids = BTreeSet::new();
        let count = self.random.below(5);
        let arguments = (0..count).map(|at| {
            let field = self.field(Kind::Struct, at, &mut ids);
            // Defaults of arguments are in the corpus; an argument is never required on Kitex's wire.
            Field { need: "", default: None, ..field }
        });
        let arguments = arguments.collect();
        let exceptions = STRUCTS + UNIONS..STRUCTS + UNIONS + EXCEPTIONS;
        let throws =
            if is_oneway { Vec::new() } else { exceptions.filter(|_| self.random.chance(40)).collect() };
        Method { result, arguments, throws, is_oneway }
    }

    /// Any type, with so many levels of containers at most.
    fn any(&mut self, nesting: usize) -> Type {
        match self.random.below(20) {
            0..3 if nesting > 0 => Type::List(Box::new(self.any(nesting - 1))),
            3..5 if nesting > 0 => Type::Set(Box::new(self.any(nesting - 1))),
            5..8 if nesting > 0 => Type::Map(Box::new(self.key()), Box::new(self.any(nesting - 1))),
            8..12 => self.record_type(),
            12 => Type::Enum(self.place(), self.random.below(ENUMS)),
            13 if !self.module.typedefs.is_empty() => self.typedef(),
            _ => Type::Scalar(self.random.pick(&SCALARS).unwrap_or(&"i32")),
        }
    }

    /// A type that Go takes as a key: no container.
    fn key(&mut self) -> Type {
        loop {
            let key = match self.random.below(10) {
                0 => self.record_type(),
                1 => Type::Enum(self.place(), self.random.below(ENUMS)),
                2 if !self.module.typedefs.is_empty() => self.typedef(),
                _ => Type::Scalar(self.random.pick(&SCALARS).unwrap_or(&"i32")),
            };
            if !matches!(self.resolved(&key), Type::List(_) | Type::Set(_) | Type::Map(..)) {
                return key;
            }
        }
    }

    fn record_type(&mut self) -> Type {
        Type::Record(self.place(), self.random.below(STRUCTS + UNIONS + EXCEPTIONS))
    }

    /// A typedef of this module, or a scalar's of another one: Kitex's tool imports more than it uses for others.
    fn typedef(&mut self) -> Type {
        let (place, here) = (self.place(), self.module.number);
        let scalars: Vec<usize> = (0..TYPEDEFS)
            .filter(|number| matches!(self.resolved(&Type::Typedef(place, *number)), Type::Scalar(_)))
            .collect();
        match self.random.pick(&scalars) {
            Some(number) if place != here => Type::Typedef(place, *number),
            _ => Type::Typedef(here, self.random.below(self.module.typedefs.len())),
        }
    }

    /// This module, or one that it includes.
    fn place(&mut self) -> usize {
        let included = self.random.pick(&self.module.includes).copied();
        included.filter(|_| self.random.chance(25)).unwrap_or(self.module.number)
    }

    fn at(&self, module: usize) -> &Module {
        self.earlier.get(module).unwrap_or(&self.module)
    }

    fn resolved(&self, ty: &Type) -> Type {
        match ty {
            Type::Typedef(module, number) => {
                self.at(*module).typedefs.get(*number).map_or_else(|| ty.clone(), |ty| self.resolved(ty))
            }
            _ => ty.clone(),
        }
    }

    /// Whether a value can hold a required one of this type without holding itself.
    fn is_made(&self, ty: &Type) -> bool {
        match self.resolved(ty) {
            Type::Record(module, number) => {
                module != self.module.number || number < self.module.records.len()
            }
            _ => true,
        }
    }

    /// A literal, if one can be written for the type.
    fn literal(&mut self, ty: &Type, depth: usize) -> Option<String> {
        // Kitex's tool fails at elements behind the name of a container.
        let is_named = matches!(ty, Type::Typedef(..));
        match self.resolved(ty) {
            Type::List(_) | Type::Set(_) if is_named => Some("[]".to_owned()),
            Type::Map(..) if is_named => Some("{}".to_owned()),
            Type::Scalar(scalar) => Some(self.scalar(scalar)),
            Type::Enum(module, number) => {
                let value = *self.at(module).enums[number].first()?;
                // Kitex's tool knows the names of another module's values in some places only.
                let by_name = module == self.module.number && self.random.chance(50);
                Some(if by_name { format!("E{number}.{}", value_name(value)) } else { value.to_string() })
            }
            Type::List(of) | Type::Set(of) if depth > 0 => {
                let items: Option<BTreeSet<String>> =
                    (0..self.random.below(3)).map(|_| self.literal(&of, depth - 1)).collect();
                Some(format!("[{}]", items?.into_iter().collect::<Vec<_>>().join(", ")))
            }
            Type::Map(key, of) if depth > 0 => {
                if matches!(self.resolved(&key), Type::Record(..)) || self.random.chance(30) {
                    return Some("{}".to_owned());
                }
                Some(format!("{{{}: {}}}", self.literal(&key, 0)?, self.literal(&of, depth - 1)?))
            }
            // Kitex's tool imports more than it uses for a literal of another module's struct.
            Type::Record(module, number) if depth > 0 && module == self.module.number => {
                let record = self.at(module).records.get(number)?;
                // What a literal does not name is nil in Go: read again, a field with a default has that instead, and
                // a required struct its own defaults.
                if record.kind != Kind::Union && record.fields.iter().any(|field| self.is_nil_preset(field)) {
                    return None;
                }
                // Kitex's tool takes the address of a number for an optional enum.
                let is_named = |field: &&Field| !matches!(self.resolved(&field.ty), Type::Enum(..));
                let fields = record.fields.iter().filter(is_named);
                let fields: Vec<(String, Type)> =
                    fields.map(|field| (field.name.clone(), field.ty.clone())).collect();
                let is_union = record.kind == Kind::Union;
                let (name, ty) = match self.random.pick(&fields) {
                    Some(field) => field.clone(),
                    None => return Some("{}".to_owned()),
                };
                match self.literal(&ty, depth - 1) {
                    Some(literal) => Some(format!("{{\"{name}\": {literal}}}")),
                    None if is_union => None,
                    None => Some("{}".to_owned()),
                }
            }
            _ => None,
        }
    }

    /// Whether the field is nil in Go where a literal does not name it, and something else when it is read again.
    fn is_nil_preset(&self, field: &Field) -> bool {
        match self.resolved(&field.ty) {
            Type::Scalar(_) | Type::Enum(..) => false,
            Type::Record(..) if field.need == "required " => true,
            _ => field.default.is_some(),
        }
    }

    fn scalar(&mut self, scalar: &str) -> String {
        let random = &mut *self.random;
        match scalar {
            "bool" => (*random.pick(&["true", "false"]).unwrap_or(&"true")).to_owned(),
            "byte" | "i8" => random.between(-128, 127).to_string(),
            "i16" => random.between(-32_768, 32_767).to_string(),
            "i32" => random.between(-2_147_483_648, 2_147_483_647).to_string(),
            "i64" => random.between(i64::MIN, i64::MAX).to_string(),
            // Neither -0.0, which no constant of Go's is, nor exponents, of which Kitex's tool takes the exponent alone.
            "double" => (*random.pick(&["0.5", "-1.25", "3", "700.25"]).unwrap_or(&"1")).to_owned(),
            _ => {
                let texts = ["\"\"", "\"text\"", "'single'", "\"tab\\tquote\\\"\"", "\"\u{e4}\u{4e16}\""];
                (*random.pick(&texts).unwrap_or(&"\"\"")).to_owned()
            }
        }
    }
}

fn value_name(value: i64) -> String {
    if value < 0 { format!("M{}", value.unsigned_abs()) } else { format!("P{value}") }
}

/// A name as another module writes it.
fn name_of(module: usize, here: usize, name: &str) -> String {
    if module == here { name.to_owned() } else { format!("r{module}.{name}") }
}

impl Type {
    fn shown(&self, here: usize) -> String {
        match self {
            Self::Scalar(name) => (*name).to_owned(),
            Self::Enum(module, number) => name_of(*module, here, &format!("E{number}")),
            Self::Typedef(module, number) => name_of(*module, here, &format!("T{number}")),
            Self::Record(module, number) => name_of(*module, here, &record_name(*number)),
            Self::List(of) => format!("list<{}>", of.shown(here)),
            Self::Set(of) => format!("set<{}>", of.shown(here)),
            Self::Map(key, of) => format!("map<{}, {}>", key.shown(here), of.shown(here)),
        }
    }
}

fn record_name(number: usize) -> String {
    let letter = if number < STRUCTS {
        'S'
    } else if number < STRUCTS + UNIONS {
        'U'
    } else {
        'X'
    };
    format!("{letter}{number}")
}

impl Module {
    /// Names of the types that travel as values, as Go and Rust call them.
    pub(super) fn values(&self) -> Vec<String> {
        let records = (0..self.records.len()).map(record_name);
        let methods = self.methods.iter().enumerate().flat_map(|(at, method)| {
            let result = (!method.is_oneway).then(|| format!("V{}M{at}Result", self.number));
            [format!("V{}M{at}Args", self.number)].into_iter().chain(result)
        });
        records.chain(methods).collect()
    }

    /// The IDL.
    pub(super) fn text(&self) -> String {
        let here = self.number;
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        for include in &self.includes {
            line(format!("include \"r{include}.thrift\""));
        }
        line(format!("namespace go r{here}\nnamespace rs r{here}"));
        for (number, values) in self.enums.iter().enumerate() {
            let values: Vec<String> =
                values.iter().map(|value| format!("{} = {value}", value_name(*value))).collect();
            line(format!("enum E{number} {{ {} }}", values.join(", ")));
        }
        for (number, ty) in self.typedefs.iter().enumerate() {
            line(format!("typedef {} T{number}", ty.shown(here)));
        }
        for (number, (ty, literal)) in self.constants.iter().enumerate() {
            line(format!("const {} C{number} = {literal}", ty.shown(here)));
        }
        for (number, record) in self.records.iter().enumerate() {
            let kind = match record.kind {
                Kind::Struct => "struct",
                Kind::Union => "union",
                Kind::Exception => "exception",
            };
            line(format!("{kind} {} {{{}\n}}", record_name(number), fields(&record.fields, here)));
        }
        line(format!("service V{here} {{"));
        for (at, method) in self.methods.iter().enumerate() {
            let oneway = if method.is_oneway { "oneway " } else { "" };
            let result = method.result.as_ref().map_or_else(|| "void".to_owned(), |ty| ty.shown(here));
            let throws: Vec<String> = method
                .throws
                .iter()
                .enumerate()
                .map(|(at, number)| format!("{}: {} e{at}", at + 1, record_name(*number)))
                .collect();
            let throws =
                if throws.is_empty() { String::new() } else { format!(" throws ({})", throws.join(", ")) };
            line(format!("  {oneway}{result} M{at}({}){throws}", fields(&method.arguments, here)));
        }
        line("}".to_owned());
        text
    }
}

fn fields(fields: &[Field], here: usize) -> String {
    let mut text = String::new();
    for field in fields {
        let default = field.default.as_ref().map(|default| format!(" = {default}")).unwrap_or_default();
        let _ =
            write!(text, "\n  {}: {}{} {}{default}", field.id, field.need, field.ty.shown(here), field.name);
    }
    text
}
