//! Builds the input of the service templates. Owns the conversion of the syntax tree to models, and the arguments and
//! results of calls; the templates are in `service`.

use crate::{
    Error,
    ast::{Field, Function, Item, ItemKind, Requiredness, Service},
    mode::Mode,
    model, names,
    rust::{LIB, Rust},
    scope::Id,
    service,
    structs::{Part, outcome, structure},
    value::{Values, Written},
};

/// Methods that every client has in addition to those of its service.
const RESERVED: [&str; 4] = service::RESERVED;

/// Writes the services of one file.
pub(crate) struct Services<'a, 'b> {
    pub(crate) rust: &'b Rust<'a>,
    pub(crate) file: usize,
}

impl<'a> Services<'a, '_> {
    /// Returns the model of a service.
    pub(crate) fn model(&self, id: Id, item: &'a Item, service: &'a Service) -> model::Service {
        let generated = self.rust.names.service(id);
        let all = self.all(id, service);
        let members = all.iter().map(|(.., function)| (function.name.as_str(), &function.annotations));
        let names = names::snakes(members, &RESERVED);
        let methods = all
            .iter()
            .zip(names)
            .map(|((owner, at, function), name)| self.method(id, *owner, *at, function, name));
        model::Service {
            package: self.rust.scope.source(id.0).package(),
            wire_name: item.name.clone(),
            name: self.rust.names.item(id).to_owned(),
            server: generated.server.clone(),
            client: generated.client.clone(),
            table: generated.table.clone(),
            docs: item.docs.clone(),
            methods: methods.collect(),
        }
    }

    /// Returns its methods, inherited ones first, each with its owner and its index there.
    fn all(&self, id: Id, service: &'a Service) -> Vec<(Id, usize, &'a Function)> {
        let mut chain = vec![(id, service)];
        while let Some((id, service)) = chain.last()
            && let Some(base) = self.rust.scope.base(id.0, service)
        {
            chain.push(base);
        }
        let own = |(id, service): &(Id, &'a Service)| {
            let id = *id;
            service
                .functions
                .iter()
                .enumerate()
                .map(move |(at, function)| (id, at, function))
                .collect::<Vec<_>>()
        };
        chain.iter().rev().flat_map(own).collect()
    }

    fn method(&self, service: Id, owner: Id, at: usize, function: &Function, name: String) -> model::Method {
        let wrappers = &self.rust.names.service(owner).wrappers[at];
        let path = |name: &str| self.rust.names.path_to(self.file, owner.0, name);
        let mode = Mode::of(function).unwrap_or(Mode::PingPong);
        let throws = if mode.is_stream() { Vec::new() } else { self.throws(owner, function) };
        model::Method {
            wire_name: function.name.clone(),
            name,
            docs: function.docs.clone(),
            mode,
            codec: model::Codec::Thrift,
            oneway: function.oneway,
            args: self.args(owner, function, mode),
            result: match &function.result {
                None => "()".to_owned(),
                Some(ty) => self.rust.ty(self.file, &self.rust.scope.ty(owner.0, ty)),
            },
            throws,
            error: path(&wrappers.error),
            args_type: path(&wrappers.args),
            result_type: path(&wrappers.result),
            own: owner == service,
        }
    }

    fn args(&self, owner: Id, function: &Function, mode: Mode) -> Vec<(String, String)> {
        let names = names::snakes(members(&function.arguments), &[]);
        let args = function.arguments.iter().zip(names).map(|(arg, name)| {
            let ty = self.rust.ty(self.file, &self.rust.layout.field_ty(owner.0, arg));
            // The message of a stream is not a field and is always present.
            let optional = arg.requiredness == Requiredness::Optional && !mode.is_stream();
            (name, if optional { format!("::core::option::Option<{ty}>") } else { ty })
        });
        args.collect()
    }

    /// Returns the variants and types of the exceptions of a method. The type is the exception itself, not an alias of it, so
    /// that two aliases of one exception are found.
    fn throws(&self, owner: Id, function: &Function) -> Vec<(String, String)> {
        let names = names::camels(members(&function.throws), &["Ok", "Other"]);
        let throws = function.throws.iter().zip(names);
        throws
            .map(|(throw, name)| {
                let ty = self.rust.scope.ty(owner.0, &throw.ty);
                (name, self.rust.ty(self.file, ty.peeled()))
            })
            .collect()
    }

    /// Returns the structs of the arguments and the enums of the outcomes of a service's own calls.
    pub(crate) fn wrappers(&self, id: Id, service: &Service) -> Result<Wrappers, Error> {
        let mut made = Wrappers::default();
        for (function, names) in service.functions.iter().zip(&self.rust.names.service(id).wrappers) {
            let mode = Mode::of(function).unwrap_or(Mode::PingPong);
            if mode.is_stream() {
                continue;
            }
            made.code.push_str(&self.arguments(id, function, &names.args)?);
            made.messages.push(names.args.clone());
            if !function.oneway {
                made.code.push_str(&self.result(id, function, &names.result));
            }
        }
        Ok(made)
    }

    fn arguments(&self, id: Id, function: &Function, name: &str) -> Result<String, Error> {
        let args = self.args(id, function, Mode::PingPong);
        let fields: String = args.iter().map(|(name, ty)| format!("pub {name}: {ty},\n")).collect();
        let parts: Vec<Part> = function
            .arguments
            .iter()
            .zip(&args)
            .map(|(arg, (name, _))| Part {
                id: arg.id,
                name: name.clone(),
                wire_name: arg.name.clone(),
                optional: arg.requiredness == Requiredness::Optional,
                required: arg.requiredness == Requiredness::Required,
                has_default: arg.default.is_some(),
            })
            .collect();
        let has_default = function.arguments.iter().any(|arg| arg.default.is_some());
        let default = if has_default { self.default(id, function, &args, name)? } else { String::new() };
        let derive = if has_default { "" } else { ", Default" };
        Ok(format!(
            "#[doc(hidden)] #[derive(Clone, Debug, PartialEq{derive})] pub struct {name} {{ {fields} }}\n{default}{}",
            structure(name, &parts, "")
        ))
    }

    fn default(
        &self,
        id: Id,
        function: &Function,
        args: &[(String, String)],
        name: &str,
    ) -> Result<String, Error> {
        let values = Values { rust: self.rust, from: self.file };
        let mut body = String::new();
        for (arg, (name, _)) in function.arguments.iter().zip(args) {
            let ty = self.rust.layout.field_ty(id.0, arg);
            let value = match &arg.default {
                None => "::core::default::Default::default()".to_owned(),
                Some(value) => {
                    let value = values.expr(&ty, Written { value, file: id.0 })?;
                    match arg.requiredness {
                        Requiredness::Optional => format!("::core::option::Option::Some({value})"),
                        _ => value,
                    }
                }
            };
            body.push_str(&format!("{name}: {value},\n"));
        }
        Ok(format!(
            "impl ::core::default::Default for {name} {{ fn default() -> Self {{ Self {{ {body} }} }} }}\n"
        ))
    }

    fn result(&self, id: Id, function: &Function, name: &str) -> String {
        let result = match &function.result {
            None => "()".to_owned(),
            Some(ty) => self.rust.ty(self.file, &self.rust.scope.ty(id.0, ty)),
        };
        let throws = self.throws(id, function);
        let variants: String = throws.iter().map(|(variant, ty)| format!("{variant}({ty}),\n")).collect();
        let ids = function.throws.iter().map(|throw| throw.id);
        let mut parts = vec![(0, "Ok".to_owned())];
        parts.extend(ids.zip(throws.iter().map(|(variant, _)| variant.clone())));
        format!(
            "#[doc(hidden)] #[derive(Clone, Debug, PartialEq)] pub enum {name} {{ Ok({result}), {variants} }}\n{}",
            outcome(name, &parts, function.result.is_none())
        )
    }
}

/// The code of wrappers, and which of them are messages without further code.
#[derive(Default)]
pub(crate) struct Wrappers {
    pub(crate) code: String,
    pub(crate) messages: Vec<String>,
}

impl Wrappers {
    /// Returns the code, including the implementations that make types messages.
    pub(crate) fn finish(code: String, messages: &[String]) -> String {
        if messages.is_empty() {
            return code;
        }
        format!("{code}{LIB}::impl_message!({});\n", messages.join(", "))
    }
}

/// Returns the services of a file.
pub(crate) fn of<'a>(rust: &Rust<'a>, file: usize) -> Vec<(Id, &'a Item, &'a Service)> {
    let items = rust.scope.source(file).file.items.iter().enumerate();
    let services = items.filter_map(|(at, item)| match &item.kind {
        ItemKind::Service(service) => Some(((file, at), item, service)),
        _ => None,
    });
    services.collect()
}

fn members(fields: &[Field]) -> impl Iterator<Item = (&str, &crate::ast::Annotations)> {
    fields.iter().map(|field| (field.name.as_str(), &field.annotations))
}
