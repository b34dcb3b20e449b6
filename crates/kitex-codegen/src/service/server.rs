//! The handlers' trait and the server that calls it. Owns how each mode becomes arguments of a handler and
//! its outcome a response.

use crate::{
    docs,
    mode::Mode,
    model::{Codec, Method, Service},
};

/// Returns the trait that a handler implements.
pub(super) fn handlers(service: &Service) -> String {
    let docs = docs::of(&service.docs, &format!("The handler of the service `{}`.", service.wire_name));
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
    let (request, stream, codec) = (method.request(), method.fresh("stream"), method.codec.argument());
    let parameters = match method.mode {
        Mode::PingPong | Mode::Unary => method.parameters(),
        Mode::Client => format!(", {stream}: ::kitex::ClientStreamingServer<{request}{codec}>"),
        Mode::Server => {
            format!("{}, {stream}: ::kitex::ServerStreamingServer<{result}{codec}>", method.parameters())
        }
        Mode::Bidirectional => {
            format!(", {stream}: ::kitex::BidiStreamingServer<{request}, {result}{codec}>")
        }
    };
    let outcome = match method.mode {
        Mode::Server | Mode::Bidirectional => "::kitex::Result<()>".to_owned(),
        Mode::PingPong | Mode::Unary | Mode::Client => method.outcome(),
    };
    format!("{docs} async fn {name}(&self, {ctx}: ::kitex::Context {parameters}) -> {outcome};")
}

/// Returns the server around a handler.
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
        "/// The service `{wire_name}` with a handler.
        pub struct {server}<__H> {{ handler: ::std::sync::Arc<__H> }}

        impl<__H: {name}> {server}<__H> {{
/// Returns a service whose calls go to `handler`.
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

/// Each method has a future of its own, so that a small one does not take the memory of the largest. Handlers are called by
/// the path of their trait, because a method named `clone` would resolve to that of `Arc`.
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

/// Returns a call with a thrift message each way, or with none back.
fn call(method: &Method) -> String {
    let Method { name, args_type, .. } = method;
    if method.codec == Codec::Protobuf {
        return message(method);
    }
    let args: String = method.args.iter().map(|(name, _)| format!(", args.{name}")).collect();
    let pattern = if method.args.is_empty() { "_args" } else { "args" };
    let called = format!("__H::{name}(&self.handler, ctx {args}).await");
    let response = if method.oneway {
        format!("{called}?; ::core::result::Result::Ok(::kitex::Response::none())")
    } else {
        response(method, &called)
    };
    format!("let (ctx, {pattern}) = call.into_args::<{args_type}, ::kitex::Thrift>()?; {response}")
}

/// Returns a call with one message each way, sent without a wrapper.
fn message(method: &Method) -> String {
    let (name, request) = (&method.name, method.request());
    format!(
        "let (ctx, request) = call.into_args::<{request}, ::kitex::Protobuf>()?;
        let response = __H::{name}(&self.handler, ctx, request).await?;
        ::kitex::Response::message_as::<::kitex::Protobuf>(&response)"
    )
}

fn response(method: &Method, called: &str) -> String {
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
