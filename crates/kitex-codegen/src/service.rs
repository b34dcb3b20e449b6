//! The code of a service: the handlers' trait, the table of methods, the server, the client, the errors. Owns
//! the templates of the public interface; the structs do the encoding.

mod client;
mod errors;
mod server;

pub(crate) use client::RESERVED;

use crate::model::{Codec, Method, Service};

/// Returns all items of a service, in reading order.
pub(crate) fn code(service: &Service) -> String {
    let mut code = table(service);
    code.push_str(&server::handlers(service));
    code.push_str(&server::server(service));
    // Without methods a client would have nothing to do with its connection.
    if !service.methods.is_empty() {
        code.push_str(&client::client(service));
    }
    for method in service.methods.iter().filter(|method| method.own && !method.throws.is_empty()) {
        code.push_str(&errors::error(method));
    }
    code
}

fn table(service: &Service) -> String {
    let Service { wire_name, table, methods, .. } = service;
    let entries: String = methods.iter().map(|method| entry(service, method)).collect();
    let count = methods.len();
    format!(
        "/// Names and modes of the methods of `{wire_name}`, in the order of their numbers.
        pub static {table}: [::kitex::Method; {count}] = [{entries}];"
    )
}

fn entry(service: &Service, method: &Method) -> String {
    let Service { package, wire_name: service, .. } = service;
    let (name, mode) = (&method.wire_name, method.mode.variant());
    let made = match method.oneway {
        true => format!("::kitex::Method::oneway({service:?}, {name:?})"),
        false => format!("::kitex::Method::new({service:?}, {name:?}, ::kitex::StreamingMode::{mode})"),
    };
    let codec = match method.codec {
        Codec::Thrift => "",
        Codec::Protobuf => ".with_codec(::kitex::PayloadCodec::Protobuf)",
    };
    format!("{made}.with_package({package:?}){codec},")
}
