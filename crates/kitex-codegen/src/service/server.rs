//! The handlers' trait and the server that calls it. Owns how each mode becomes arguments of a handler and
//! its outcome an answer.

use crate::{
    docs,
    mode::Mode,
    model::{Method, Service},
};

/// The trait that a handler implements.
pub(super) fn handlers(service: &Service) -> String {
    let docs = docs::of(&service.docs, &format!("What a server of `{}` does.", service.wire_name));
    let methods: String = service.methods.iter().map(handler).collect();
    let name = &service.name;
    format!(
        "{docs}
        #[::kitex::async_trait]
        pub trait {name}: ::core::marker::Send + ::core::marker::Sync + 'static {{ {methods} }}"
    )
}

fn handler(method: &Method) -> String {
    let docs = docs::of(&method.docs, &format!("Handles `{}`.", method.wire_name));
    let (name, ctx, result) = (&method.name, method.fresh("ctx"), &method.result);
    let (request, stream) = (method.request(), method.fresh("stream"));
    let parameters = match method.mode {
        Mode::PingPong | Mode::Unary => method.parameters(),
        Mode::Client => format!(", {stream}: ::kitex::ClientStreamingServer<{request}>"),
        Mode::Server => {
            format!("{}, {stream}: ::kitex::ServerStreamingServer<{result}>", method.parameters())
        }
        Mode::Bidirectional => format!(", {stream}: ::kitex::BidiStreamingServer<{request}, {result}>"),
    };
    let outcome = match method.mode {
        Mode::Server | Mode::Bidirectional => "::kitex::Result<()>".to_owned(),
        Mode::PingPong | Mode::Unary | Mode::Client => method.outcome(),
    };
    format!("{docs} async fn {name}(&self, {ctx}: ::kitex::Context {parameters}) -> {outcome};")
}

/// The server around a handler.
pub(super) fn server(service: &Service) -> String {
    let Service { wire_name, name, server, table, methods, .. } = service;
    let arms: String = methods.iter().enumerate().map(|(number, method)| arm(number, method)).collect();
    let unknown = "call.unknown_method()";
    // A match with nothing but a wildcard is no match.
    let body = match methods.is_empty() {
        true => unknown.to_owned(),
        false => format!("match call.index() {{ {arms} _ => {unknown} }}"),
    };
    format!(
        "/// Serves `{wire_name}` with a handler.
        pub struct {server}<__H> {{ handler: ::std::sync::Arc<__H> }}

        impl<__H: {name}> {server}<__H> {{
            /// A server whose calls all go to `handler`.
            pub fn new(handler: __H) -> Self {{ Self {{ handler: ::std::sync::Arc::new(handler) }} }}
        }}

        impl<__H> ::core::clone::Clone for {server}<__H> {{
            fn clone(&self) -> Self {{ Self {{ handler: ::std::sync::Arc::clone(&self.handler) }} }}
        }}

        impl<__H: {name}> ::kitex::Service for {server}<__H> {{
            fn methods(&self) -> &[::kitex::Method] {{ &{table} }}

            fn call<'s, 'a>(&'s self, call: ::kitex::Call) -> ::kitex::ResponseFuture<'a>
            where 's: 'a, Self: 'a {{ {body} }}
        }}"
    )
}

/// Each method has a future of its own, so that none costs as much as the largest. Handlers are called by
/// their trait's name: a method called `clone` would be the `Arc`'s.
fn arm(number: usize, method: &Method) -> String {
    let name = &method.name;
    let body = match method.mode {
        Mode::PingPong | Mode::Unary => {
            format!("::std::boxed::Box::pin(async move {{ {} }})", call(method))
        }
        Mode::Client => {
            format!("call.serve_client_streaming(|ctx, stream| __H::{name}(&self.handler, ctx, stream))")
        }
        Mode::Server => format!(
            "call.serve_server_streaming(move |ctx, request, stream| __H::{name}(&self.handler, ctx, request, stream))"
        ),
        Mode::Bidirectional => {
            format!("call.serve_bidi_streaming(|ctx, stream| __H::{name}(&self.handler, ctx, stream))")
        }
    };
    format!("{number} => {body},")
}

/// A call with a thrift message each way, or with none back.
fn call(method: &Method) -> String {
    let Method { name, args_type, .. } = method;
    let args: String = method.args.iter().map(|(name, _)| format!(", args.{name}")).collect();
    let pattern = if method.args.is_empty() { "_args" } else { "args" };
    let called = format!("__H::{name}(&self.handler, ctx {args}).await");
    let response = if method.oneway {
        format!("{called}?; ::core::result::Result::Ok(::kitex::Response::none())")
    } else {
        answer(method, &called)
    };
    format!("let (ctx, {pattern}) = call.into_args::<{args_type}, ::kitex::Thrift>()?; {response}")
}

fn answer(method: &Method, called: &str) -> String {
    let Method { error, result_type, .. } = method;
    if method.throws.is_empty() && method.is_void() {
        return format!("{called}?; ::kitex::Response::message(&{result_type}::Ok(()))");
    }
    if method.throws.is_empty() {
        return format!("let response = {called}?; ::kitex::Response::message(&{result_type}::Ok(response))");
    }
    let thrown = |(variant, _): &(String, String)| {
        format!("::core::result::Result::Err({error}::{variant}(error)) => {result_type}::{variant}(error),")
    };
    let thrown: String = method.throws.iter().map(thrown).collect();
    let response = method.response();
    format!(
        "let result = match {called} {{
            ::core::result::Result::Ok({response}) => {result_type}::Ok({response}),
            {thrown}
            ::core::result::Result::Err({error}::Other(error)) => return ::core::result::Result::Err(error),
        }};
        ::kitex::Response::message(&result)"
    )
}
