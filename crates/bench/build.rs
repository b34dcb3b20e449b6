//! Generates tonic's client and server of the lab service from a description, without protoc and without
//! committed files. The messages are in `src/bin/tonic-peer/lab.rs`, the IDL is
//! `crates/interop/idl/lab.thrift`.

use tonic_build::manual::{Builder, Method, Service};

/// Rust name, name on the wire, whether client and server stream.
const METHODS: [(&str, &str, bool, bool); 5] = [
    ("ping", "Ping", false, false),
    ("unary", "Unary", false, false),
    ("up", "Up", true, false),
    ("down", "Down", false, true),
    ("bidi", "Bidi", true, true),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let service = Service::builder().name("Lab").package("lab");
    let service = METHODS.iter().fold(service, |service, method| service.method(describe(method)));
    Builder::new().compile(&[service.build()]);
}

fn describe(&(name, route, client_streams, server_streams): &(&str, &str, bool, bool)) -> Method {
    let method = Method::builder().name(name).route_name(route);
    let method = method.input_type("crate::lab::Req").output_type("crate::lab::Resp");
    let method = method.codec_path("tonic_prost::ProstCodec");
    let method = if client_streams { method.client_streaming() } else { method };
    if server_streams { method.server_streaming().build() } else { method.build() }
}
