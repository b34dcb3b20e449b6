//! Constants and defaults as Rust text. Owns which value fits which type, as in Kitex's generator; `rust`
//! writes the types.

mod text;

use std::borrow::Cow;

use crate::{
    Error,
    ast::{Field, ItemKind, Requiredness, Value, ValueKind},
    layout::Slot,
    rust::{LIB, Rust},
    scope::{Id, Named, Ty},
};

/// A value and the file it is written in.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) value: &'a Value,
    pub(crate) file: usize,
}

/// How deep values may nest, through constants.
const DEEPEST: usize = 100;

/// How many constants may refer to one another in a row.
const LONGEST: usize = 10_000;

type Made<T = String> = Result<T, Error>;

/// Writes values in the module of the file `from`.
pub(crate) struct Values<'a, 'b> {
    pub(crate) rust: &'b Rust<'a>,
    pub(crate) from: usize,
}

impl<'a> Values<'a, '_> {
    /// Returns an expression of a type.
    pub(crate) fn expr(&self, ty: &Ty, written: Written<'_>) -> Made {
        self.expr_within(ty, written, DEEPEST)
    }

    fn expr_within(&self, ty: &Ty, written: Written<'_>, levels: usize) -> Made {
        let (kind, at) = self.resolved(ty, written)?;
        let Some(levels) = levels.checked_sub(1) else { return Err(self.endless(at)) };
        let ty = ty.peeled();
        match (ty, &*kind) {
            (Ty::Text(is_string), ValueKind::Text(text)) => {
                let text = text::text(text).map_err(|problem| self.error(at, problem))?;
                Ok(match is_string {
                    true => format!("::std::string::String::from({text:?})"),
                    false => format!("{LIB}::FastStr::from_static_str({text:?})"),
                })
            }
            (Ty::Binary(is_vec), ValueKind::Text(text)) => {
                let bytes =
                    text::bytes(text).map_err(|problem| self.error(at, problem))?.escape_ascii().to_string();
                Ok(match is_vec {
                    true => format!("::std::vec::Vec::from(b\"{bytes}\")"),
                    false => format!("{LIB}::Bytes::from_static(b\"{bytes}\")"),
                })
            }
            (Ty::List(element), ValueKind::List(values)) => {
                let values = self.list(element, values, at, levels)?;
                Ok(if values.is_empty() {
                    DEFAULT.to_owned()
                } else {
                    format!("::std::vec![{}]", values.join(", "))
                })
            }
            (Ty::Set(element, _), ValueKind::List(values)) => {
                let values = self.list(element, values, at, levels)?;
                Ok(self.collected(ty, &values))
            }
            (Ty::Map(key, value, _), ValueKind::Map(entries)) => {
                let mut made = Vec::new();
                for (k, v) in entries {
                    let k = self.expr_within(key, Written { value: k, ..at }, levels)?;
                    made.push(format!(
                        "({k}, {})",
                        self.expr_within(value, Written { value: v, ..at }, levels)?
                    ));
                }
                Ok(self.collected(ty, &made))
            }
            (Ty::Struct(id), ValueKind::Map(entries)) => self.literal(*id, entries, at, levels),
            // Empty brackets of any kind are an empty container or struct.
            (Ty::List(_) | Ty::Set(..), ValueKind::Map(entries)) if entries.is_empty() => {
                Ok(DEFAULT.to_owned())
            }
            (Ty::Map(..), ValueKind::List(values)) if values.is_empty() => Ok(DEFAULT.to_owned()),
            (Ty::Struct(id), ValueKind::List(values)) if values.is_empty() => {
                self.literal(*id, &[], at, levels)
            }
            (ty, kind) => self.scalar(ty, kind, at),
        }
    }

    fn list(&self, element: &Ty, values: &[Value], at: Written<'_>, levels: usize) -> Made<Vec<String>> {
        values.iter().map(|value| self.expr_within(element, Written { value, ..at }, levels)).collect()
    }

    /// Returns a set or map of `items`.
    fn collected(&self, ty: &Ty, items: &[String]) -> String {
        match items {
            [] => DEFAULT.to_owned(),
            items => format!("{}::from_iter([{}])", self.rust.container(ty), items.join(", ")),
        }
    }

    /// Returns a struct or union. A field that the literal does not name has no value, or the zero of its type if it has
    /// a default and is no optional container, as in Kitex's Go.
    fn literal(&self, id: Id, entries: &[(Value, Value)], at: Written<'_>, levels: usize) -> Made {
        let item = self.rust.scope.item(id);
        let fields = item.fields().unwrap_or_default();
        let mut named: Vec<Option<&Value>> = vec![None; fields.len()];
        for (key, value) in entries {
            let name = match &key.kind {
                ValueKind::Text(name) | ValueKind::Name(name) => name.as_str(),
                _ => return Err(self.mismatch("the name of a field in quotes", at, &key.kind)),
            };
            let Some(field) = fields.iter().position(|field| field.name == name) else {
                let problem = format!("`{}` has no field `{name}`, correct its name", item.name);
                return Err(self.error(Written { value: key, ..at }, problem));
            };
            named[field] = Some(value);
        }
        if matches!(item.kind, ItemKind::Union(_)) {
            return self.variant(id, &named, at, levels);
        }
        let mut made = Vec::new();
        for ((field, value), name) in fields.iter().zip(named).zip(self.rust.field_names(id)) {
            let expr = match value {
                Some(value) => self.field_within(id, field, Written { value, ..at }, levels)?,
                None => self.absent(id, field, at, levels)?,
            };
            made.push(format!("{name}: {expr}"));
        }
        Ok(format!("{} {{ {} }}", self.rust.names.path(self.from, id), made.join(", ")))
    }

    fn variant(&self, id: Id, named: &[Option<&Value>], at: Written<'_>, levels: usize) -> Made {
        let (names, unknown) = self.rust.variant_names(id);
        let path = self.rust.names.path(self.from, id);
        let fields = self.rust.scope.item(id).fields().unwrap_or_default();
        let mut set = named.iter().enumerate().filter_map(|(field, value)| Some((field, (*value)?)));
        let (Some((field, value)), None) = (set.next(), set.next()) else {
            if named.iter().all(Option::is_none) {
                return Ok(format!("{path}::{unknown}"));
            }
            let problem =
                format!("`{}` is a union and holds one value, name one", self.rust.scope.item(id).name);
            return Err(self.error(at, problem));
        };
        let ty = self.rust.layout.field_ty(id.0, &fields[field]);
        let expr = self.expr_within(&ty, Written { value, ..at }, levels)?;
        let slot = Slot { optional: false, ..self.rust.layout.slot(id, &fields[field]) };
        Ok(format!("{path}::{}({})", names[field], slot_value(slot, expr)))
    }

    /// Returns the value of a field as the struct stores it.
    pub(crate) fn field(&self, owner: Id, field: &Field, written: Written<'_>) -> Made {
        self.field_within(owner, field, written, DEEPEST)
    }

    fn field_within(&self, owner: Id, field: &Field, written: Written<'_>, levels: usize) -> Made {
        let slot = self.rust.layout.slot(owner, field);
        let expr = self.expr_within(&self.rust.layout.field_ty(owner.0, field), written, levels)?;
        Ok(slot_value(slot, expr))
    }

    /// Returns the value of a field that a literal does not name. Not the default of a struct, which may contain
    /// this literal itself.
    fn absent(&self, owner: Id, field: &Field, at: Written<'_>, levels: usize) -> Made {
        let slot = self.rust.layout.slot(owner, field);
        let ty = self.rust.layout.field_ty(owner.0, field);
        // A container is nil in Go, and so absent where it may be; a number or text is zero, and so set.
        let may_be_nil = matches!(ty.peeled(), Ty::List(_) | Ty::Set(..) | Ty::Map(..));
        let is_nil = may_be_nil && field.requiredness == Requiredness::Optional;
        Ok(match (slot.optional, ty.as_struct()) {
            (true, None) if field.default.is_some() && !is_nil => {
                format!("::core::option::Option::Some({DEFAULT})")
            }
            (true, _) => "::core::option::Option::None".to_owned(),
            (false, Some(id)) => {
                let levels = levels.checked_sub(1).ok_or_else(|| self.endless(at))?;
                slot_value(Slot { optional: false, ..slot }, self.literal(id, &[], at, levels)?)
            }
            (false, None) => DEFAULT.to_owned(),
        })
    }

    /// Resolves all names of constants, and returns the value and its file.
    fn resolved<'v>(&self, ty: &Ty, written: Written<'v>) -> Made<(Cow<'v, ValueKind>, Written<'v>)>
    where
        'a: 'v,
    {
        let (scope, mut at) = (self.rust.scope, written);
        for _ in 0..LONGEST {
            let ValueKind::Name(name) = &at.value.kind else {
                return Ok((Cow::Borrowed(&at.value.kind), at));
            };
            if name == "true" || name == "false" {
                return Ok((Cow::Borrowed(&at.value.kind), at));
            }
            let of_enum = || match ty.peeled() {
                Ty::Enum(id) => scope.enum_value(*id, name),
                _ => None,
            };
            match scope.value(at.file, name) {
                Some(Named::Const(id, value)) => at = Written { value, file: id.0 },
                Some(Named::Number(number)) => return Ok((Cow::Owned(ValueKind::Int(number)), at)),
                None => {
                    let unknown = || format!("unknown constant `{name}`, define it or include its file");
                    let number = of_enum().ok_or_else(|| self.error(at, unknown()))?;
                    return Ok((Cow::Owned(ValueKind::Int(number)), at));
                }
            }
        }
        Err(self.endless(written))
    }

    fn scalar(&self, ty: &Ty, kind: &ValueKind, at: Written<'_>) -> Made {
        Ok(match (ty, kind) {
            // Only `true` and `false` are still names here.
            (Ty::Bool, ValueKind::Name(name)) => name.clone(),
            (Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64, ValueKind::Name(name)) => {
                i32::from(name == "true").to_string()
            }
            (Ty::Double, ValueKind::Name(name)) => format!("{}.0", i32::from(name == "true")),
            (Ty::Bool, ValueKind::Int(int)) => (*int > 0).to_string(),
            (Ty::I8, ValueKind::Int(int)) => self.int::<i8>(*int, "i8", at)?,
            (Ty::I16, ValueKind::Int(int)) => self.int::<i16>(*int, "i16", at)?,
            (Ty::I32, ValueKind::Int(int)) => self.int::<i32>(*int, "i32", at)?,
            (Ty::I64, ValueKind::Int(int)) => self.int::<i64>(*int, "i64", at)?,
            (Ty::Enum(id), ValueKind::Int(int)) => {
                self.int::<i32>(*int, "i32", at)?;
                self.rust.enum_value(self.from, *id, *int)
            }
            (Ty::Double, ValueKind::Int(int)) => format!("{int}.0"),
            (Ty::Double, ValueKind::Double(double)) if double.is_finite() => format!("{double:?}"),
            (_, ValueKind::Double(double)) if !double.is_finite() => {
                let problem = "number is too large for a double, use one up to 1.7976931348623157e308";
                return Err(self.error(at, problem.to_owned()));
            }
            (Ty::Uuid, ValueKind::Text(text)) => {
                text::uuid(text).ok_or_else(|| self.mismatch(wanted(ty), at, kind))?
            }
            _ => return Err(self.mismatch(wanted(ty), at, kind)),
        })
    }

    fn int<T: TryFrom<i64>>(&self, int: i64, name: &str, at: Written<'_>) -> Made {
        match T::try_from(int) {
            Ok(_) => Ok(int.to_string()),
            Err(_) => {
                Err(self.error(at, format!("{int} does not fit in an {name}, use another number or type")))
            }
        }
    }

    /// Returns the type and the value of a constant that Rust can have as `const`: without a heap.
    pub(crate) fn constant(&self, ty: &Ty, written: Written<'_>) -> Made<Option<(String, String)>> {
        if let Some(wide) = self.wide(ty, written)? {
            return Ok(Some(wide));
        }
        let Some(text) = self.const_ty(ty) else { return Ok(None) };
        Ok(Some((text, self.const_expr(ty, written)?)))
    }

    /// A number that does not fit its type is an `i64`: Go's constants are untyped, so Kitex accepts it.
    fn wide(&self, ty: &Ty, written: Written<'_>) -> Made<Option<(String, String)>> {
        let (kind, _) = self.resolved(ty, written)?;
        let fits = match (ty.peeled(), &*kind) {
            (Ty::I8, ValueKind::Int(int)) => i8::try_from(*int).is_ok(),
            (Ty::I16, ValueKind::Int(int)) => i16::try_from(*int).is_ok(),
            (Ty::I32, ValueKind::Int(int)) => i32::try_from(*int).is_ok(),
            _ => true,
        };
        Ok(match &*kind {
            ValueKind::Int(int) if !fits => Some(("i64".to_owned(), int.to_string())),
            _ => None,
        })
    }

    fn const_ty(&self, ty: &Ty) -> Option<String> {
        Some(match ty {
            Ty::Text(_) => "&'static str".to_owned(),
            Ty::Binary(_) => "&'static [u8]".to_owned(),
            Ty::List(element) => format!("&'static [{}]", self.const_ty(element)?),
            Ty::Set(..) | Ty::Map(..) | Ty::Struct(_) => return None,
            Ty::Alias(_, inner) => match inner.peeled() {
                Ty::Text(_) | Ty::Binary(_) | Ty::List(_) => self.const_ty(inner)?,
                Ty::Set(..) | Ty::Map(..) | Ty::Struct(_) => return None,
                _ => self.rust.ty(self.from, ty),
            },
            scalar => self.rust.ty(self.from, scalar),
        })
    }

    fn const_expr(&self, ty: &Ty, written: Written<'_>) -> Made {
        let (kind, at) = self.resolved(ty, written)?;
        match (ty.peeled(), &*kind) {
            (Ty::Text(_), ValueKind::Text(text)) => {
                Ok(format!("{:?}", text::text(text).map_err(|problem| self.error(at, problem))?))
            }
            (Ty::Binary(_), ValueKind::Text(text)) => {
                let bytes = text::bytes(text).map_err(|problem| self.error(at, problem))?;
                Ok(format!("b\"{}\"", bytes.escape_ascii()))
            }
            (Ty::List(element), ValueKind::List(values)) => {
                let values: Made<Vec<String>> =
                    values.iter().map(|value| self.const_expr(element, Written { value, ..at })).collect();
                Ok(format!("&[{}]", values?.join(", ")))
            }
            (Ty::List(_), ValueKind::Map(entries)) if entries.is_empty() => Ok("&[]".to_owned()),
            (ty, kind) => self.scalar(ty, kind, at),
        }
    }

    /// Returns an estimate of the heap bytes of the value.
    pub(crate) fn heap(&self, ty: &Ty, written: Written<'_>) -> usize {
        let Ok((kind, at)) = self.resolved(ty, written) else { return 0 };
        let layout = &self.rust.layout;
        let part = |ty: &Ty, value| layout.size(ty).saturating_add(self.heap(ty, Written { value, ..at }));
        match (ty.peeled(), &*kind) {
            (Ty::List(element), ValueKind::List(values)) => {
                values.iter().map(|value| part(element, value)).sum()
            }
            (Ty::Set(element, _), ValueKind::List(values)) => {
                values.iter().map(|value| part(element, value) * 3).sum()
            }
            (Ty::Map(key, value, _), ValueKind::Map(entries)) => {
                entries.iter().map(|(k, v)| (part(key, k) + part(value, v)) * 3).sum()
            }
            (Ty::Struct(id), ValueKind::Map(entries)) => {
                // The box, and the contents of the fields.
                let fields = self.rust.scope.item(*id).fields().unwrap_or_default();
                let field = |key: &Value| match &key.kind {
                    ValueKind::Text(name) => fields.iter().find(|field| field.name == *name),
                    _ => None,
                };
                let held = entries.iter().filter_map(|(key, value)| {
                    Some(self.heap(&layout.field_ty(id.0, field(key)?), Written { value, ..at }))
                });
                layout.struct_size(*id).saturating_add(held.sum())
            }
            _ => 0,
        }
    }

    fn mismatch(&self, wanted: &str, at: Written<'_>, found: &ValueKind) -> Error {
        let found = match found {
            ValueKind::Int(int) => format!("`{int}`"),
            ValueKind::Double(double) => format!("`{double}`"),
            ValueKind::Text(_) => "a text".to_owned(),
            ValueKind::Name(name) => format!("`{name}`"),
            ValueKind::List(_) => "a list".to_owned(),
            ValueKind::Map(_) => "a map".to_owned(),
        };
        self.error(at, format!("found {found}, expected {wanted}"))
    }

    fn endless(&self, at: Written<'_>) -> Error {
        self.error(
            at,
            "constant refers to itself or nests more than 100 levels deep, give it another value".to_owned(),
        )
    }

    fn error(&self, at: Written<'_>, problem: String) -> Error {
        self.rust.scope.source(at.file).error(at.value.line, problem)
    }
}

/// Returns a value as a field stores it.
fn slot_value(slot: Slot, mut expr: String) -> String {
    if slot.boxed {
        expr = format!("::std::boxed::Box::new({expr})");
    }
    if slot.shared {
        expr = format!("::std::sync::Arc::new({expr})");
    }
    if slot.optional { format!("::core::option::Option::Some({expr})") } else { expr }
}

fn wanted(ty: &Ty) -> &'static str {
    match ty {
        Ty::Bool => "true or false",
        Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 => "a whole number",
        Ty::Double => "a number",
        Ty::Text(_) | Ty::Binary(_) => "a text in quotes",
        Ty::Uuid => "a uuid in quotes, as \"00112233-4455-6677-8899-aabbccddeeff\"",
        Ty::List(_) | Ty::Set(..) => "a list, as [1, 2]",
        Ty::Map(..) => "a map, as {\"key\": 1}",
        Ty::Enum(_) => "a value of the enum, as Color.RED",
        Ty::Struct(_) => "the fields, as {\"name\": 1}",
        Ty::Alias(_, ty) => wanted(ty),
    }
}

const DEFAULT: &str = "::core::default::Default::default()";
