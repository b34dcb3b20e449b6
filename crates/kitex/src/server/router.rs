//! Finds the method that a call is for. Knows services by their IDL name; a call without one, or with one
//! that nobody has, is found by its method's name, as Kitex does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};
use stream_core::call::{CallHead, HandlerError, StreamEnd, UnaryCall, UnaryResponse};
use stream_core::cancel::Scope;
use stream_core::handler::{Handler, IncomingStream, OnCancel, Routed};
use stream_core::stream::SendStream;

use super::call::{Call, Input};
use super::{Answer, BindError, Service};
use crate::Method;
use crate::context::{Context, Request};
use crate::middleware::{MessageLayers, RawStream};

/// Every service of one server.
pub(crate) struct Router {
    name: Arc<str>,
    services: Vec<Arc<dyn Service>>,
    layers: MessageLayers,
    by_service: HashMap<String, HashMap<String, Route>>,
    by_method: HashMap<String, Route>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.by_service.keys().collect::<Vec<_>>();
        f.debug_struct("Router").field("name", &self.name).field("services", &services).finish()
    }
}

#[derive(Clone)]
struct Route {
    service: usize,
    number: usize,
    method: Arc<Method>,
    on_cancel: Option<OnCancel>,
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
        policies: Vec<Policy>,
        layers: MessageLayers,
    ) -> std::result::Result<Self, BindError> {
        let mut router = Self {
            name,
            services: Vec::new(),
            layers,
            by_service: HashMap::new(),
            by_method: HashMap::new(),
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
        let service = route.service;
        if let Some(route) = self.by_method.get_mut(&method).filter(|route| route.service == service) {
            route.on_cancel = Some(on_cancel);
        }
        Ok(())
    }

    fn add(&mut self, service: Arc<dyn Service>) -> std::result::Result<(), BindError> {
        for (number, method) in service.methods().iter().enumerate() {
            let (service_name, name) = (method.service().to_string(), method.name().to_string());
            let method = Arc::new(method.clone());
            let route = Route { service: self.services.len(), number, method, on_cancel: None };
            let methods = self.by_service.entry(service_name.clone()).or_default();
            if methods.insert(name.clone(), route.clone()).is_some() {
                return Err(BindError::Duplicate { service: service_name });
            }
            self.by_method.entry(name).or_insert(route);
        }
        self.services.push(service);
        Ok(())
    }

    fn find(&self, service: &str, method: &str) -> std::result::Result<&Route, ApplicationException> {
        let found = match self.by_service.get(service) {
            Some(methods) => methods.get(method),
            None => self.by_method.get(method),
        };
        found.ok_or_else(|| match self.by_service.contains_key(service) || service.is_empty() {
            true => ApplicationException::unknown_method(method),
            false => ApplicationException::unknown_service(service),
        })
    }

    /// As [`find`](Self::find), for a ping-pong call: Kitex has other words for what it does not know.
    fn find_call(&self, service: &str, method: &str) -> std::result::Result<&Route, ApplicationException> {
        self.find(service, method).map_err(|_| match self.by_service.contains_key(service) {
            true => ApplicationException::unknown_method(&format!("{method} (service {service})")),
            false => ApplicationException::unknown_service(&format!("{service}, method {method}")),
        })
    }

    /// Returns the context of a call, and what it knows of the call.
    fn context(&self, route: &Route, head: CallHead, scope: Scope) -> (Context, Arc<Request>) {
        let CallHead { metadata, metainfo, timeout, peer, .. } = head;
        let request = Request::new(self.name.clone(), route.method.clone(), metadata, peer);
        (Context::of_request(scope, timeout, metainfo, request.clone()), request)
    }

    /// Boxed: few streams have an answer beside their messages.
    fn send_answer<'a>(
        &'a self,
        sender: &'a SendStream,
        answer: Answer,
    ) -> Option<Pin<Box<impl Future<Output = Result<()>> + Send + use<'a>>>> {
        let message = answer.into_bytes()?;
        Some(Box::pin(async move { sender.send_bytes(self.layers.on_send(sender, message)?).await }))
    }

    /// The service itself, not the `Arc` around it: that would box each call once more.
    fn call(&self, service: usize, number: usize, call: Call) -> impl Future<Output = Result<Answer>> + Send {
        (*self.services[service]).call(number, call)
    }
}

fn ended(request: &Request, ended: Result<()>) -> StreamEnd {
    let ending = request.take_ending();
    let backward = ending.backward_pairs();
    StreamEnd { trailer: ending.trailer, backward, error: ended.err().map(refuse_or_return) }
}

impl Handler for Router {
    fn stream(
        self: Arc<Self>,
        stream: IncomingStream,
    ) -> std::result::Result<Routed<impl Future<Output = StreamEnd> + Send + 'static>, ApplicationException>
    {
        let IncomingStream { head, scope, sender, receiver } = stream;
        let route = self.find(&text(&head.service), &text(&head.method))?;
        if !route.method.mode().is_stream() {
            return Err(no_stream(&route.method));
        }
        let Route { service, number, on_cancel, .. } = *route;
        let (ctx, request) = self.context(route, head, scope);
        // Lives as long as the stream does, so it holds as little as it can while the handler runs.
        let handler = async move {
            let raw = RawStream { sender: sender.clone(), receiver };
            let input = Input::Stream { raw, request: request.clone(), layers: self.layers.clone() };
            let call = Call { ctx, method: request.method.clone(), input };
            let answer = match self.call(service, number, call).await {
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
        self.find(service, method).ok().map(|route| &*route.method)
    }

    fn unary(
        self: Arc<Self>,
        call: UnaryCall,
    ) -> std::result::Result<
        Routed<impl Future<Output = UnaryResponse<HandlerError>> + Send + 'static>,
        ApplicationException,
    > {
        let UnaryCall { head, body, scope } = call;
        let route = self.find_call(&text(&head.service), &text(&head.method))?;
        if route.method.mode().is_stream() {
            return Err(is_stream(&route.method));
        }
        let Route { service, number, on_cancel, .. } = *route;
        let (ctx, request) = self.context(route, head, scope);
        let handler = async move {
            let call = Call { ctx, method: request.method.clone(), input: Input::Args(body) };
            let result = self.call(service, number, call).await;
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
