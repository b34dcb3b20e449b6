//! Finds the method that a call is for. Knows services by their IDL name; a call without one, or with one
//! that nobody has, is found by its method's name, as Kitex does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};
use stream_core::call::{CallHead, HandlerError, StreamEnd, UnaryCall, UnaryResponse};
use stream_core::cancel::Scope;
use stream_core::handler::{Handler, IncomingStream, OnCancel, Routed, TaskTracker};
use stream_core::stream::SendStream;

use super::call::{Call, Input, Response};
use super::error::BindError;
use super::service::{Fallback, Service};
use crate::context::{Context, Request};
use crate::invoke::RawStream;
use crate::message_layer::MessageSettings;
use crate::{Method, StreamingMode};

/// Every service of one server.
pub(crate) struct Router {
    name: Arc<str>,
    services: Vec<Arc<dyn Service>>,
    fallback: Option<Arc<dyn Fallback>>,
    settings: MessageSettings,
    by_service: HashMap<String, HashMap<String, Route>>,
    by_method: HashMap<String, Route>,
    /// Work that handlers leave behind.
    tasks: OnceLock<TaskTracker>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.by_service.keys().collect::<Vec<_>>();
        f.debug_struct("Router").field("name", &self.name).field("services", &services).finish()
    }
}

#[derive(Clone)]
struct Route {
    target: Target,
    method: Arc<Method>,
    on_cancel: Option<OnCancel>,
}

/// Who serves a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A method, by the places of its service and its own.
    Method {
        service: u32,
        number: u32,
    },
    Fallback,
}

/// A place, in half the bytes: each stream's future holds one.
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

/// What becomes of the handlers of one method on a cancel.
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
            name,
            services: Vec::new(),
            fallback,
            settings,
            by_service: HashMap::new(),
            by_method: HashMap::new(),
            tasks: OnceLock::new(),
        };
        for service in services {
            router.add(service)?;
        }
        policies.into_iter().try_for_each(|policy| router.set_policy(policy))?;
        Ok(router)
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

    /// Returns the route of a method; of a service that is unknown, that of any service's method of this name.
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
        let (service, method) = (text(&head.service), text(&head.method));
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

    /// Kitex has other words for a ping-pong call that it does not know.
    fn unknown_call(&self, service: &str, method: &str) -> ApplicationException {
        match self.by_service.contains_key(service) {
            true => ApplicationException::unknown_method(&format!("{method} (service {service})")),
            false => ApplicationException::unknown_service(&format!("{service}, method {method}")),
        }
    }

    /// Returns the context of a call, and what it knows of the call.
    fn context(&self, method: &Arc<Method>, head: CallHead, scope: Scope) -> (Context, Arc<Request>) {
        let CallHead { metadata, metainfo, timeout, peer, .. } = head;
        let tasks = self.tasks.get().cloned();
        let request = Request::new(self.name.clone(), method.clone(), metadata, peer, tasks);
        (Context::of_request(scope, timeout, metainfo, request.clone()), request)
    }

    /// Boxed: few streams have an answer beside their messages.
    fn send_answer<'a>(
        &'a self,
        sender: &'a SendStream,
        answer: Response,
    ) -> Option<Pin<Box<impl Future<Output = Result<()>> + Send + use<'a>>>> {
        let message = answer.into_bytes()?;
        Some(Box::pin(async move { sender.send_bytes(self.settings.on_send(sender, message)?).await }))
    }

    /// Calls the service itself, not the `Arc` around it: that would box each call once more.
    fn call(&self, target: Target, call: Call) -> impl Future<Output = Result<Response>> + Send {
        match (target, &self.fallback) {
            (Target::Method { service, .. }, _) => (*self.services[large(service)]).call(call),
            (Target::Fallback, Some(fallback)) => (**fallback).call(call),
            (Target::Fallback, None) => call.unknown_method(),
        }
    }
}

fn ended(request: &Request, ended: Result<()>) -> StreamEnd {
    let ending = request.take_ending();
    let backward = ending.backward_pairs();
    StreamEnd { trailer: ending.trailer, backward, error: ended.err().map(refuse_or_return) }
}

impl Handler for Router {
    fn set_tasks(&self, tasks: TaskTracker) {
        // Set once: a router has one server.
        let _ = self.tasks.set(tasks);
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
        // Boxed until it is moved on: what follows lives as long as the stream does, and its size with what it was
        // made of decides between two sizes of a task.
        let call = Box::new(Call { ctx, method: request.method.clone(), index: target.index(), input });
        let handler = async move {
            let answer = match self.call(target, *call).await {
                Ok(answer) => answer,
                Err(error) => return ended(&request, Err(error)),
            };
            let sent = match self.send_answer(&sender, answer) {
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
        let UnaryCall { head, body, scope } = call;
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
            let result = result.map(|answer| answer.into_bytes().unwrap_or(EMPTY_RESULT));
            let ending = request.take_ending();
            let backward = ending.backward_pairs();
            UnaryResponse { metadata: ending.trailer, backward, result: result.map_err(refuse_or_return) }
        };
        Ok(Routed { handler, on_cancel })
    }
}

fn text(bytes: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The struct of a method that returns nothing.
const EMPTY_RESULT: Bytes = Bytes::from_static(&[0]);

/// A message that makes no sense is the caller's fault, anything else what the handler returned.
fn refuse_or_return(error: Error) -> HandlerError {
    match error {
        Error::Codec(error) => {
            let text = error.to_string();
            HandlerError::Refused(ApplicationException::new(ApplicationException::PROTOCOL_ERROR, text))
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
