//! Services of `.proto` files as the templates need them. Owns their names and modes; the templates are in
//! `crate::service`.

use std::collections::{BTreeMap, HashSet};

use prost_build::{Comments, ServiceGenerator};

use crate::{
    docs,
    mode::Mode,
    model::{Codec, Method, Service},
    names, service,
};

/// Writes each service behind the messages of its package.
pub(super) struct Services {
    /// The names of the types of each package.
    pub(super) taken: BTreeMap<String, HashSet<String>>,
}

impl ServiceGenerator for Services {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        let taken = self.taken.entry(service.package.clone()).or_default();
        buf.push_str(&service::code(&model(service, taken)));
    }
}

fn model(service: prost_build::Service, taken: &mut HashSet<String>) -> Service {
    let prost_build::Service { name, proto_name, package, comments, methods, .. } = service;
    let mut members: HashSet<String> = service::RESERVED.iter().map(ToString::to_string).collect();
    let trait_name = names::unique(taken, name.clone());
    Service {
        package,
        name: trait_name,
        server: names::unique(taken, format!("{name}Server")),
        client: names::unique(taken, format!("{name}Client")),
        table: format!("{}_METHODS", names::shouty(&proto_name)),
        wire_name: proto_name,
        docs: docs_of(&comments),
        methods: methods.into_iter().map(|method| self::method(method, &mut members)).collect(),
    }
}

fn method(method: prost_build::Method, members: &mut HashSet<String>) -> Method {
    let mode = match (method.client_streaming, method.server_streaming) {
        (false, false) => Mode::Unary,
        (true, false) => Mode::Client,
        (false, true) => Mode::Server,
        (true, true) => Mode::Bidirectional,
    };
    Method {
        wire_name: method.proto_name,
        name: names::unique(members, method.name),
        docs: docs_of(&method.comments),
        mode,
        codec: Codec::Protobuf,
        oneway: false,
        args: vec![("request".to_owned(), method.input_type)],
        result: method.output_type,
        throws: Vec::new(),
        error: String::new(),
        args_type: String::new(),
        result_type: String::new(),
        own: true,
    }
}

fn docs_of(comments: &Comments) -> Vec<String> {
    docs::lines(&comments.leading.join("\n"))
}
