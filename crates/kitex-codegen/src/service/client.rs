//! The client. Owns how arguments become a request and a response an outcome; `kitex` owns the connection.

use crate::{
    docs,
    mode::Mode,
    model::{Codec, Method, Service},
};

/// Methods that every client has in addition to those of its service.
pub(crate) const RESERVED: [&str; 4] = ["new", "with_recv_timeout", "with_options", "close"];

/// Returns the client of a service.
pub(super) fn client(service: &Service) -> String {
    let Service { wire_name, client, table, methods, .. } = service;
    let methods: String = methods
        .iter()
        .enumerate()
        .map(|(number, method)| caller(method, &format!("&{table}[{number}]")))
        .collect();
    format!(
        "/// A client of `{wire_name}`.
        #[derive(Clone, Debug)]
        pub struct {client} {{ client: ::kitex::Client }}

        impl {client} {{
/// Returns a client that uses `client`.
            pub fn new(client: ::kitex::Client) -> Self {{ Self {{ client }} }}

/// Returns the same client with another Recv timeout.
            #[must_use]
            pub fn with_recv_timeout(
                &self,
                timeout: impl ::core::convert::Into<::core::option::Option<::kitex::RecvTimeout>>,
            ) -> Self {{
                Self {{ client: self.client.with_recv_timeout(timeout) }}
            }}

/// Returns the same client with other options for its calls.
            #[must_use]
            pub fn with_options(&self, change: impl ::core::ops::FnOnce(&mut ::kitex::CallOptions)) -> Self {{
                Self {{ client: self.client.with_options(change) }}
            }}

            /// Closes the client's connections gracefully; see `kitex::Client::close`.
            pub async fn close(&self) {{
                self.client.close().await;
            }}

            {methods}
        }}

        impl ::core::convert::From<::kitex::Client> for {client} {{
            fn from(client: ::kitex::Client) -> Self {{ Self::new(client) }}
        }}

        impl ::core::convert::AsRef<::kitex::Client> for {client} {{
            fn as_ref(&self) -> &::kitex::Client {{ &self.client }}
        }}"
    )
}

/// `entry` is the method's place in the table.
fn caller(method: &Method, entry: &str) -> String {
    let docs = docs::of(&method.docs, &format!("Calls `{}`.", method.wire_name));
    let (name, ctx) = (&method.name, method.fresh("ctx"));
    let parameters = match method.mode {
        Mode::PingPong | Mode::Unary | Mode::Server => method.parameters(),
        Mode::Client | Mode::Bidirectional => String::new(),
    };
    let (outcome, body) = match method.mode {
        Mode::PingPong | Mode::Unary => (method.outcome(), call(method, &ctx, entry)),
        Mode::Client | Mode::Server | Mode::Bidirectional => stream(method, &ctx, entry),
    };
    format!(
        "{docs} pub async fn {name}(&self, {ctx}: &::kitex::Context {parameters}) -> {outcome} {{ {body} }}"
    )
}

/// Returns the outcome and the body of a call with a thrift message each way, or with none back.
fn call(method: &Method, ctx: &str, entry: &str) -> String {
    let Method { args_type, result_type, .. } = method;
    if method.codec == Codec::Protobuf {
        return message(method, ctx, entry);
    }
    let (fields, args) = (method.argument_names(), method.fresh("args"));
    let args_value = format!("let {args} = {args_type} {{ {fields} }};");
    if method.oneway {
        return format!(
            "{args_value} self.client.oneway::<_, ::kitex::Thrift>({ctx}, {entry}, &{args}).await"
        );
    }
    let called = format!(
        "self.client.call::<{args_type}, {result_type}, ::kitex::Thrift>({ctx}, {entry}, &{args}).await?"
    );
    if method.throws.is_empty() && method.is_void() {
        return format!("{args_value} {called}; ::core::result::Result::Ok(())");
    }
    if method.throws.is_empty() {
        let unpacked = format!("let {result_type}::Ok(response) = {called};");
        return format!("{args_value} {unpacked} ::core::result::Result::Ok(response)");
    }
    let thrown = |(variant, _): &(String, String)| {
        format!(
            "{result_type}::{variant}(error) => ::core::result::Result::Err({}::{variant}(error)),",
            method.error
        )
    };
    let thrown: String = method.throws.iter().map(thrown).collect();
    let response = method.response();
    let ok = format!("{result_type}::Ok({response}) => ::core::result::Result::Ok({response}),");
    format!("{args_value} match {called} {{ {ok} {thrown} }}")
}

/// Returns the body of a call with one message each way, sent without a wrapper.
fn message(method: &Method, ctx: &str, entry: &str) -> String {
    let (request, result, argument) = (method.request(), &method.result, method.argument_names());
    format!("self.client.call::<{request}, {result}, ::kitex::Protobuf>({ctx}, {entry}, &{argument}).await")
}

/// Returns the outcome and the body of a method that opens a stream.
fn stream(method: &Method, ctx: &str, entry: &str) -> (String, String) {
    let (request, result, codec) = (method.request(), &method.result, method.codec.argument());
    match method.mode {
        Mode::Client => (
            format!("::kitex::Result<::kitex::ClientStreamingClient<{request}, {result}{codec}>>"),
            format!("self.client.client_streaming({ctx}, {entry}).await"),
        ),
        Mode::Server => (
            format!("::kitex::Result<::kitex::ServerStreamingClient<{result}{codec}>>"),
            format!("self.client.server_streaming({ctx}, {entry}, &{}).await", method.argument_names()),
        ),
        _ => (
            format!("::kitex::Result<::kitex::BidiStreamingClient<{request}, {result}{codec}>>"),
            format!("self.client.bidi_streaming({ctx}, {entry}).await"),
        ),
    }
}
