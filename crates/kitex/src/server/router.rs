//! Finds the method of a call, by the service's IDL name and the method's name. A call without a service name, or with an
//! unknown one, is routed by the method's name alone, as in Kitex.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};
use stream_core::call::{CallHead, HandlerError, StreamEnd, UnaryCall, UnaryResponse, name_text};
use stream_core::cancel::Scope;
use stream_core::guard::{guarded, report};
use stream_core::handler::{Handler, IncomingStream, OnCancel, Routed, TaskTracker};
use stream_core::stream::SendStream;

use super::call::{Call, Input, Response};
use super::error::BindError;
use super::service::{Fallback, Service};
use crate::context::{Context, Host, Request};
use crate::invoke::RawStream;
use crate::message_layer::MessageSettings;
use crate::metainfo::ContextMetainfo;
use crate::{Method, PayloadCodec, StreamingMode};

/// Every service of one server.
pub(crate) struct Router {
    host: Arc<Host>,
    services: Vec<Arc<dyn Service>>,
    /// The services without their layers: those that are notified of a shutdown.
    notified: Vec<Arc<dyn Service>>,
    fallback: Option<Arc<dyn Fallback>>,
    settings: MessageSettings,
    by_service: BTreeMap<String, BTreeMap<String, Route>>,
    by_method: BTreeMap<String, Route>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.by_service.keys().collect::<Vec<_>>();
        f.debug_struct("Router").field("name", &self.host.name).field("services", &services).finish()
    }
}

#[derive(Clone)]
struct Route {
    target: Target,
    method: Arc<Method>,
    on_cancel: Option<OnCancel>,
}

/// The service or fallback that serves a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A method, by the index of its service and its own.
    Method {
        service: u32,
        number: u32,
    },
    Fallback,
}

/// Returns an index in half the bytes, since each stream's future has one.
fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn large(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl Target {
    fn index(self) -> usize {
        match self {
            Self::Method { number, .. } => large(number),
            Self::Fallback => 0,
        }
    }
}

/// The `OnCancel` policy of one method.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) service: String,
    pub(super) method: String,
    pub(super) on_cancel: OnCancel,
}

impl Router {
    pub(super) fn new(
        name: Arc<str>,
        services: Vec<Arc<dyn Service>>,
        fallback: Option<Arc<dyn Fallback>>,
        policies: Vec<Policy>,
        settings: MessageSettings,
    ) -> std::result::Result<Self, BindError> {
        let mut router = Self {
            host: Arc::new(Host { name, tasks: OnceLock::new() }),
            services: Vec::new(),
            notified: Vec::new(),
            fallback,
            settings,
            by_service: BTreeMap::new(),
            by_method: BTreeMap::new(),
        };
        for service in services {
            router.add(service)?;
        }
        policies.into_iter().try_for_each(|policy| router.set_policy(policy))?;
        Ok(router)
    }

    /// The same, with the services that are notified of a shutdown.
    pub(super) fn notifying(self, notified: Vec<Arc<dyn Service>>) -> Self {
        Self { notified, ..self }
    }

    fn set_policy(&mut self, policy: Policy) -> std::result::Result<(), BindError> {
        let Policy { service, method, on_cancel } = policy;
        let methods = self.by_service.get_mut(&*service);
        let Some(route) = methods.and_then(|methods| methods.get_mut(&*method)) else {
            return Err(BindError::NoSuchMethod { service, method });
        };
        route.on_cancel = Some(on_cancel);
        let target = route.target;
        if let Some(route) = self.by_method.get_mut(&method).filter(|route| route.target == target) {
            route.on_cancel = Some(on_cancel);
        }
        Ok(())
    }

    fn add(&mut self, service: Arc<dyn Service>) -> std::result::Result<(), BindError> {
        for (number, method) in service.methods().iter().enumerate() {
            let (service_name, name) = (method.service().to_string(), method.name().to_string());
            let method = Arc::new(method.clone());
            let target = Target::Method { service: small(self.services.len()), number: small(number) };
            let route = Route { target, method, on_cancel: None };
            let methods = self.by_service.entry(service_name.clone()).or_default();
            if methods.insert(name.clone(), route.clone()).is_some() {
                return Err(BindError::Duplicate { service: service_name });
            }
            self.by_method.entry(name).or_insert(route);
        }
        self.services.push(service);
        Ok(())
    }

    /// Returns the route of a method; if the service is unknown, that of any service's method of this name.
    fn known(&self, service: &str, method: &str) -> Option<&Route> {
        match self.by_service.get(service) {
            Some(methods) => methods.get(method),
            None => self.by_method.get(method),
        }
    }

    fn find(
        &self,
        head: &CallHead,
        mode: StreamingMode,
        unknown: fn(&Self, &str, &str) -> ApplicationException,
    ) -> std::result::Result<Route, ApplicationException> {
        let (service, method) = (name_text(&head.service), name_text(&head.method));
        match self.known(&service, &method) {
            Some(route) => Ok(route.clone()),
            None if self.fallback.is_some() => {
                let names = (service.into_owned().into(), method.into_owned().into());
                let method = Arc::new(Method::with_names(names.0, names.1, mode));
                Ok(Route { target: Target::Fallback, method, on_cancel: None })
            }
            None => Err(unknown(self, &service, &method)),
        }
    }

    fn unknown_stream(&self, service: &str, method: &str) -> ApplicationException {
        match self.by_service.contains_key(service) || service.is_empty() {
            true => ApplicationException::unknown_method(method),
            false => ApplicationException::unknown_service(service),
        }
    }

    /// Kitex has a different text for an unknown ping-pong method.
    fn unknown_call(&self, service: &str, method: &str) -> ApplicationException {
        match self.by_service.contains_key(service) {
            true => ApplicationException::unknown_method(&format!("{method} (service {service})")),
            false => ApplicationException::unknown_service(&format!("{service}, method {method}")),
        }
    }

    /// Returns the context of a call, and its request part.
    fn context(&self, method: &Arc<Method>, head: CallHead, scope: Scope) -> (Context, Arc<Request>) {
        let CallHead { metadata, metainfo, timeout, peer, extensions, .. } = head;
        let request = Request::new(self.host.clone(), method.clone(), metadata, peer);
        let carried = ContextMetainfo::received(metainfo, extensions, &self.host.name);
        (Context::of_request(scope, timeout, carried, request.clone()), request)
    }

    /// Boxed, because few streams have a response besides their messages.
    fn send_response<'a>(
        &'a self,
        sender: &'a SendStream,
        response: Response,
    ) -> Option<Pin<Box<impl Future<Output = Result<()>> + Send + use<'a>>>> {
        let message = response.into_bytes()?;
        Some(Box::pin(async move {
            let message = match self.settings.has_layers() {
                true => self.settings.on_send(sender.shared_info(), message).await?,
                false => message,
            };
            sender.send_bytes(message).await
        }))
    }

    /// Calls the service itself, not the `Arc` around it, which would box each call once more.
    fn call(&self, target: Target, call: Call) -> impl Future<Output = Result<Response>> + Send {
        match (target, &self.fallback) {
            (Target::Method { service, .. }, _) => (*self.services[large(service)]).call(call),
            (Target::Fallback, Some(fallback)) => (**fallback).call(call),
            (Target::Fallback, None) => call.unknown_method(),
        }
    }

    /// As [`call`](Self::call). The box is freed before the future is polled: a box that a future moves out of may live
    /// as long as the future.
    #[expect(clippy::boxed_local, reason = "the caller has the box, and what frees it here is the point")]
    fn call_boxed(&self, call: Box<(Target, Call)>) -> impl Future<Output = Result<Response>> + Send {
        let (target, call) = *call;
        self.call(target, call)
    }
}

fn ended(request: &Request, ended: Result<()>) -> StreamEnd {
    let parts = request.take_parts();
    let backward = parts.backward_pairs();
    StreamEnd {
        trailer: parts.trailer,
        backward,
        error: ended.err().map(|error| refuse_or_return(error, &request.method)),
    }
}

impl Handler for Router {
    fn set_tasks(&self, tasks: TaskTracker) {
        // Set once, because a router has one server.
        let _ = self.host.tasks.set(tasks);
    }

    fn draining(&self) {
        for service in &self.notified {
            if let Err(text) = guarded(|| service.draining()) {
                report("a service that is notified of the shutdown", &text);
            }
        }
    }

    fn stream(
        self: Arc<Self>,
        stream: IncomingStream,
    ) -> std::result::Result<Routed<impl Future<Output = StreamEnd> + Send + 'static>, ApplicationException>
    {
        let IncomingStream { head, scope, sender, receiver } = stream;
        let route = self.find(&head, StreamingMode::Bidirectional, Self::unknown_stream)?;
        if !route.method.mode().is_stream() {
            return Err(no_stream(&route.method));
        }
        let Route { target, on_cancel, .. } = route;
        let (ctx, request) = self.context(&route.method, head, scope);
        let raw = RawStream { sender: sender.clone(), receiver };
        let input = Input::Stream { raw, request: request.clone(), settings: self.settings.clone() };
        // Boxed, so that the future that lives as long as the stream stays below the size class of its task.
        let call = Call { ctx, method: request.method.clone(), index: target.index(), input };
        let call = Box::new((target, call));
        let handler = async move {
            let response = match self.call_boxed(call).await {
                Ok(response) => response,
                Err(error) => return ended(&request, Err(error)),
            };
            let sent = match self.send_response(&sender, response) {
                Some(sending) => sending.await,
                None => Ok(()),
            };
            ended(&request, sent)
        };
        Ok(Routed { handler, on_cancel })
    }

    fn method(&self, service: &str, method: &str) -> Option<&Method> {
        self.known(service, method).map(|route| &*route.method)
    }

    fn unary(
        self: Arc<Self>,
        call: UnaryCall,
    ) -> std::result::Result<
        Routed<impl Future<Output = UnaryResponse<HandlerError>> + Send + 'static>,
        ApplicationException,
    > {
        let UnaryCall { head, body, scope, .. } = call;
        let route = self.find(&head, StreamingMode::PingPong, Self::unknown_call)?;
        if route.method.mode().is_stream() {
            return Err(is_stream(&route.method));
        }
        let Route { target, on_cancel, .. } = route;
        let (ctx, request) = self.context(&route.method, head, scope);
        let handler = async move {
            let call = Call {
                ctx,
                index: target.index(),
                method: request.method.clone(),
                input: Input::Args { args: body, settings: self.settings.clone() },
            };
            let result = self.call(target, call).await;
            let result =
                result.map(|response| response.into_bytes().unwrap_or_else(|| empty_result(&request.method)));
            let parts = request.take_parts();
            let backward = parts.backward_pairs();
            let (header, trailer) = (parts.header, parts.trailer);
            let result = result.map_err(|error| refuse_or_return(error, &request.method));
            UnaryResponse { metadata: header, trailer, backward, result }
        };
        Ok(Routed { handler, on_cancel })
    }
}

/// Returns the encoded result of a method that returns nothing: in Thrift an empty struct, otherwise no byte.
fn empty_result(method: &Method) -> Bytes {
    match method.codec() {
        PayloadCodec::Thrift => Bytes::from_static(&[0]),
        _ => Bytes::new(),
    }
}

/// A message that cannot be decoded is the caller's fault; any other error is the handler's. Kitex has two codes for
/// such a message, one for each encoding.
fn refuse_or_return(error: Error, method: &Method) -> HandlerError {
    match error {
        Error::Codec(error) => {
            let kind = match method.codec() {
                PayloadCodec::Thrift => ApplicationException::PROTOCOL_ERROR,
                _ => ApplicationException::INTERNAL_ERROR,
            };
            HandlerError::Refused(ApplicationException::new(kind, error.to_string()))
        }
        error => HandlerError::Returned(error),
    }
}

fn no_stream(method: &Method) -> ApplicationException {
    let text = format!("{method} is no stream: call it ping-pong");
    ApplicationException::new(ApplicationException::UNKNOWN_METHOD, text)
}

fn is_stream(method: &Method) -> ApplicationException {
    let text = format!("{method} is a stream: open one");
    ApplicationException::new(ApplicationException::UNKNOWN_METHOD, text)
}
