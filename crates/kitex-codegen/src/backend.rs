//! Our backend of pilota-build: structs as it writes them, services as we do. Owns the reading of its tree
//! into the catalog and the models; the templates and the pass see nothing of it.

mod survey;

use std::sync::{Arc, Mutex, PoisonError};

use pilota_build::{
    CodegenBackend, Context, DefId, MakeBackend, ThriftBackend,
    db::RirDatabase,
    rir::{self, Item, MethodSource},
    ty::TyKind,
};

use crate::{
    catalog::{Catalog, Entry},
    idl::Idl,
    mode::Mode,
    model, quiet, service,
};
use survey::Survey;

/// Makes the backend for one run.
pub(crate) struct MakeKitex {
    pub(crate) idl: Arc<Idl>,
    /// Where the catalog is left when pilota-build is done.
    pub(crate) catalog: Arc<Mutex<Catalog>>,
}

impl MakeBackend for MakeKitex {
    type Target = Kitex;

    fn make_backend(self, cx: Context) -> Kitex {
        let survey = Survey::new(&cx, &self.idl);
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = survey.catalog();
        Kitex { structs: ThriftBackend::new(cx), idl: self.idl, catalog: self.catalog }
    }
}

#[derive(Clone)]
pub(crate) struct Kitex {
    structs: ThriftBackend,
    idl: Arc<Idl>,
    catalog: Arc<Mutex<Catalog>>,
}

impl CodegenBackend for Kitex {
    const PROTOCOL: &'static str = "thrift";

    /// Called before anything else on each of pilota-build's threads.
    fn cx(&self) -> &Context {
        quiet::silence_this_thread();
        self.structs.cx()
    }

    fn codegen_struct_impl(&self, id: DefId, stream: &mut String, message: &rir::Message) {
        self.structs.codegen_struct_impl(id, stream, message);
    }

    fn codegen_enum_impl(&self, id: DefId, stream: &mut String, e: &rir::Enum) {
        self.structs.codegen_enum_impl(id, stream, e);
    }

    fn codegen_newtype_impl(&self, id: DefId, stream: &mut String, newtype: &rir::NewType) {
        self.structs.codegen_newtype_impl(id, stream, newtype);
    }

    fn codegen_service_impl(&self, id: DefId, stream: &mut String, _: &rir::Service) {
        let service = self.service(id);
        let code = service::code(&service);
        self.place(id, &service);
        stream.push_str(&code);
    }
}

impl Kitex {
    /// Puts what the templates write where the service stands.
    fn place(&self, id: DefId, service: &model::Service) {
        let module = survey::module(self.cx(), id);
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rank) = catalog.get(&(module.clone(), service.name.clone())).map(|entry| entry.rank) else {
            return;
        };
        let errors = service.methods.iter().filter(|method| method.own).map(|method| method.error.clone());
        let names =
            [service.table.clone(), format!("{}Server", service.name), format!("{}Client", service.name)];
        for name in errors.chain(names) {
            catalog.entry((module.clone(), name)).or_insert_with(|| Entry::new(rank));
        }
    }

    fn service(&self, id: DefId) -> model::Service {
        let cx = self.cx();
        let item = cx.expect_item(id);
        let Item::Service(service) = &*item else { unreachable!("pilota-build gave a service's id") };
        let name = cx.rust_name(id).to_string();
        model::Service {
            wire_name: service.name.raw_str().to_string(),
            table: format!("{}_METHODS", survey::shouty(&service.name.raw_str())),
            name,
            docs: survey::docs(cx, &self.idl, id, &service.name.raw_str()),
            methods: cx.service_methods(id).iter().map(|method| self.method(id, method)).collect(),
        }
    }

    fn method(&self, service: DefId, method: &rir::Method) -> model::Method {
        let cx = self.cx();
        let owner = match method.source {
            MethodSource::Own => service,
            MethodSource::Extend(base) => base,
        };
        let wrappers = survey::wrappers(cx, owner, method);
        let path = |name: &str| survey::path(cx, service, owner, name);
        model::Method {
            wire_name: method.name.raw_str().to_string(),
            name: unreserved(cx.rust_name(method.def_id).to_string()),
            docs: survey::method_docs(cx, &self.idl, owner, &method.name.raw_str()),
            mode: self.mode(owner, method),
            oneway: method.oneway,
            args: method.args.iter().map(|arg| self.arg(arg)).collect(),
            result: self.ty(&method.ret.kind),
            throws: method.exceptions.iter().flat_map(|path| self.throws(path.did)).collect(),
            error: path(&format!("{}Error", wrappers.stem)),
            args_type: path(&format!("{}Args", wrappers.stem)),
            result_type: path(&format!("{}Result", wrappers.stem)),
            own: owner == service,
        }
    }

    /// The mode is in our own tree: pilota-build drops annotations that it does not know.
    fn mode(&self, owner: DefId, method: &rir::Method) -> Mode {
        survey::function(self.cx(), &self.idl, owner, &method.name.raw_str())
            .map_or(Mode::PingPong, |function| Mode::of(function).unwrap_or(Mode::PingPong))
    }

    fn arg(&self, arg: &rir::Arg) -> (String, String) {
        let ty = self.ty(&arg.ty.kind);
        let ty = match arg.kind {
            rir::FieldKind::Required => ty,
            rir::FieldKind::Optional => format!("::core::option::Option<{ty}>"),
        };
        (self.cx().rust_name(arg.def_id).to_string(), ty)
    }

    /// The variants of the enum that pilota-build makes of `throws`.
    fn throws(&self, exceptions: DefId) -> Vec<(String, String)> {
        let cx = self.cx();
        let item = cx.expect_item(exceptions);
        let Item::Enum(e) = &*item else { return Vec::new() };
        let variant = |variant: &rir::EnumVariant| {
            Some((cx.rust_name(variant.did).to_string(), self.ty(&variant.fields.first()?.kind)))
        };
        e.variants.iter().filter_map(|v| variant(v)).collect()
    }

    fn ty(&self, kind: &TyKind) -> String {
        self.cx().codegen_item_ty(kind.clone()).to_string()
    }
}

/// The IDL may be others' too, so a method keeps its name on the wire and gets an underscore in Rust.
fn unreserved(name: String) -> String {
    if service::RESERVED.contains(&name.as_str()) { format!("{name}_") } else { name }
}
