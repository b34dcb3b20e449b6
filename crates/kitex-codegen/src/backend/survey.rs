//! Looks over pilota-build's tree. Owns which of its items is what: a type of the IDL, a wrapper of which
//! method, and in which order they stand in the IDL.

use std::collections::HashMap;

use pilota_build::{
    Context, DefId, IdentName,
    db::RirDatabase,
    rir::{self, Item},
    ty::TyKind,
};
use pilota_thrift_parser::{self as ast, Function};

use crate::{
    catalog::{Catalog, Entry, Fate, Rank, Section},
    docs,
    idl::Idl,
    mode::Mode,
};

/// The tree beside the IDL that it was made from.
pub(super) struct Survey<'a> {
    cx: &'a Context,
    idl: &'a Idl,
    /// What becomes of the wrappers, and after which service they stand.
    wrappers: HashMap<DefId, (Fate, u64)>,
}

/// The wrappers that pilota-build makes for a method.
pub(super) struct Wrappers {
    /// What their names begin with.
    pub(super) stem: String,
    /// With the suffix of each.
    ids: Vec<(DefId, &'static str)>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(cx: &'a Context, idl: &'a Idl) -> Self {
        let mut survey = Self { cx, idl, wrappers: HashMap::new() };
        for id in &cx.cache.codegen_items {
            if let Some(item) = cx.item(*id)
                && let Item::Service(service) = &*item
            {
                survey.mark_wrappers(*id, service);
            }
        }
        survey
    }

    pub(super) fn catalog(&self) -> Catalog {
        let mut catalog = Catalog::new();
        for id in &self.cx.cache.codegen_items {
            let Some(entry) = self.entry(*id) else { continue };
            let module = module(self.cx, *id);
            if let Some((name, renamed)) = entry.renamed() {
                catalog.insert((module.clone(), name), renamed);
            }
            catalog.insert((module, self.cx.rust_name(*id).to_string()), entry);
        }
        catalog
    }

    fn mark_wrappers(&mut self, id: DefId, service: &rir::Service) {
        let rank = self.rank(id, &service.name.raw_str());
        for (at, method) in (rank..).step_by(2).zip(&service.methods) {
            let mode = function(self.cx, self.idl, id, &method.name.raw_str()).map(Mode::of);
            let is_stream = mode.is_some_and(|mode| mode.is_ok_and(Mode::is_stream));
            let wrappers = wrappers(self.cx, id, method);
            for (wrapper, suffix) in wrappers.ids {
                let fate = match suffix {
                    "ArgsSend" if !is_stream => Fate::Becomes(format!("{}Args", wrappers.stem)),
                    "ResultSend" if !is_stream && !method.oneway => {
                        Fate::Becomes(format!("{}Result", wrappers.stem))
                    }
                    _ => Fate::Goes,
                };
                let is_result = u64::from(suffix.starts_with("Result"));
                self.wrappers.insert(wrapper, (fate, at + is_result));
            }
        }
    }

    fn entry(&self, id: DefId) -> Option<Entry> {
        let item = self.cx.item(id)?;
        if let Some((fate, rank)) = self.wrappers.get(&id) {
            let mut entry = Entry::new(Rank(Section::Wrappers, *rank));
            entry.fate = fate.clone();
            entry.variants = self.variants(&item);
            return Some(entry);
        }
        let section = if matches!(&*item, Item::Service(_)) { Section::Services } else { Section::Types };
        let mut entry = Entry::new(Rank(section, self.rank(id, &item.symbol_name())));
        entry.docs = docs(self.cx, self.idl, id, &item.symbol_name());
        entry.member_docs = self.member_docs(id, &item);
        entry.is_exception = self.is_exception(id, &item.symbol_name());
        entry.variants = self.variants(&item);
        Some(entry)
    }

    fn member_docs(&self, id: DefId, item: &Item) -> Vec<Vec<String>> {
        let Some((_, source)) = source(self.cx, self.idl, id) else { return Vec::new() };
        let (name, places) = (item.symbol_name(), &source.places);
        let lines: Vec<usize> = match item {
            Item::Message(m) => m.fields.iter().map(|field| places.field(&name, field.id)).collect(),
            Item::Enum(e) if e.repr.is_some() => {
                e.variants.iter().map(|v| places.member(&name, &v.name.raw_str())).collect()
            }
            Item::Enum(e) => {
                e.variants.iter().map(|v| places.field(&name, v.id.unwrap_or_default())).collect()
            }
            _ => Vec::new(),
        };
        // What stands on the item's own line has the item's comment above it.
        let own = places.item(&name);
        let comment = |line: usize| if line == own { String::new() } else { places.comment(line) };
        lines.into_iter().map(|line| docs::lines(&comment(line))).collect()
    }

    /// The id and the wire type of what a union or a result may hold. Void is not on the wire.
    fn variants(&self, item: &Item) -> Vec<(i32, &'static str)> {
        let Item::Enum(e) = item else { return Vec::new() };
        let variant = |v: &rir::EnumVariant| Some((v.id?, self.wire_type(&v.fields.first()?.kind)?));
        e.variants.iter().filter_map(|v| variant(v)).collect()
    }

    /// The variant of pilota's `TType`.
    fn wire_type(&self, kind: &TyKind) -> Option<&'static str> {
        Some(match kind {
            TyKind::String | TyKind::FastStr | TyKind::Bytes | TyKind::BytesVec => "Binary",
            TyKind::Bool => "Bool",
            TyKind::I8 | TyKind::U8 => "I8",
            TyKind::I16 => "I16",
            TyKind::I32 => "I32",
            TyKind::I64 => "I64",
            TyKind::F64 | TyKind::OrderedF64 => "Double",
            TyKind::Uuid => "Uuid",
            TyKind::Vec(_) => "List",
            TyKind::Set(_) | TyKind::BTreeSet(_) => "Set",
            TyKind::Map(..) | TyKind::BTreeMap(..) => "Map",
            TyKind::Arc(inner) => return self.wire_type(&inner.kind),
            TyKind::Path(path) => match &*self.cx.item(path.did)? {
                Item::Enum(e) if e.repr.is_some() => "I32",
                Item::NewType(newtype) => return self.wire_type(&newtype.ty.kind),
                _ => "Struct",
            },
            _ => return None,
        })
    }

    fn is_exception(&self, id: DefId, name: &str) -> bool {
        let Some((_, source)) = source(self.cx, self.idl, id) else { return false };
        source
            .file
            .items
            .iter()
            .any(|item| matches!(item, ast::Item::Exception(e) if e.name.as_str() == name))
    }

    /// The place of an item in the IDL: that of its file, then that in its file, with room for a service's
    /// wrappers.
    fn rank(&self, id: DefId, name: &str) -> u64 {
        let Some((at, source)) = source(self.cx, self.idl, id) else { return 0 };
        (at as u64) << 48 | (source.places.item(name) as u64) << 20
    }
}

/// The module of an item, as it is written.
pub(super) fn module(cx: &Context, id: DefId) -> Vec<String> {
    cx.mod_path(id).iter().map(ToString::to_string).collect()
}

pub(super) fn shouty(name: &str) -> String {
    name.shouty_snake_case().to_string()
}

/// The path from the module of `from` to `name` beside `owner`.
pub(super) fn path(cx: &Context, from: DefId, owner: DefId, name: &str) -> String {
    if from == owner {
        return name.to_owned();
    }
    let owner = cx.related_item_path(from, owner);
    match owner.rsplit_once("::") {
        Some((module, _)) => format!("{module}::{name}"),
        None => name.to_owned(),
    }
}

/// The function that a method was made from.
pub(super) fn function<'a>(cx: &Context, idl: &'a Idl, service: DefId, method: &str) -> Option<&'a Function> {
    let (_, source) = source(cx, idl, service)?;
    let name = cx.item(service)?.symbol_name();
    let service = source.file.items.iter().find_map(|item| match item {
        ast::Item::Service(service) if service.name.as_str() == &*name => Some(service),
        _ => None,
    })?;
    service.functions.iter().find(|function| function.name.as_str() == method)
}

/// The wrappers of one of `service`'s own methods. They hang on the service in the order of its methods.
pub(super) fn wrappers(cx: &Context, service: DefId, method: &rir::Method) -> Wrappers {
    let item = cx.expect_item(service);
    let related = cx.node(service).map(|node| node.related_nodes).unwrap_or_default();
    let Item::Service(owner) = &*item else { unreachable!("a method's owner is a service") };
    let mut ids = related.into_iter();
    for own in &owner.methods {
        let of_own: Vec<_> = suffixes(own).iter().filter_map(|suffix| Some((ids.next()?, *suffix))).collect();
        if own.def_id == method.def_id {
            let name = of_own.first().map(|(id, suffix)| (cx.rust_name(*id), *suffix));
            let stem = name.and_then(|(name, suffix)| name.strip_suffix(suffix).map(str::to_owned));
            return Wrappers { stem: stem.unwrap_or_default(), ids: of_own };
        }
    }
    Wrappers { stem: String::new(), ids: Vec::new() }
}

fn suffixes(method: &rir::Method) -> &'static [&'static str] {
    match method.exceptions {
        Some(_) => &["ResultRecv", "ResultSend", "Exception", "ArgsSend", "ArgsRecv"],
        None => &["ResultRecv", "ResultSend", "ArgsSend", "ArgsRecv"],
    }
}

/// The documentation of an item.
pub(super) fn docs(cx: &Context, idl: &Idl, id: DefId, name: &str) -> Vec<String> {
    let Some((_, source)) = source(cx, idl, id) else { return Vec::new() };
    docs::lines(&source.places.comment(source.places.item(name)))
}

/// The documentation of one of a service's own methods.
pub(super) fn method_docs(cx: &Context, idl: &Idl, service: DefId, method: &str) -> Vec<String> {
    let found = source(cx, idl, service).zip(cx.item(service));
    let Some(((_, source), item)) = found else { return Vec::new() };
    docs::lines(&source.places.comment(source.places.method(&item.symbol_name(), method, 1)))
}

fn source<'a>(cx: &Context, idl: &'a Idl, id: DefId) -> Option<(usize, &'a crate::idl::Source)> {
    let file = cx.node(id)?.file_id;
    let path = cx.file_paths().get(&file)?;
    idl.sources.iter().enumerate().find(|(_, source)| source.path == **path)
}
