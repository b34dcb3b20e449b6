//! Finds the method that a call is for. Knows services by their IDL name; a call without one, or with one
//! that nobody has, is found by its method's name, as Kitex does.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};
use stream_core::Metadata;
use stream_core::server::{Handler, HandlerError, Incoming, OnCancel, Peer, Served, StreamEnd};
use stream_core::stream::SendStream;
use stream_core::unary::{UnaryAnswer, UnaryCall};
use ttheader_codec::key;

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
    by_service: HashMap<&'static str, HashMap<&'static str, Route>>,
    by_method: HashMap<&'static str, Route>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.by_service.keys().collect::<Vec<_>>();
        f.debug_struct("Router").field("name", &self.name).field("services", &services).finish()
    }
}

#[derive(Clone, Copy)]
struct Route {
    service: usize,
    number: usize,
    method: &'static Method,
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
        let changed = *route;
        self.by_method.entry(changed.method.name).and_modify(|route| {
            if route.service == changed.service {
                *route = changed;
            }
        });
        Ok(())
    }

    fn add(&mut self, service: Arc<dyn Service>) -> std::result::Result<(), BindError> {
        for (number, method) in service.methods().iter().enumerate() {
            let route = Route { service: self.services.len(), number, method, on_cancel: None };
            let methods = self.by_service.entry(method.service).or_default();
            if methods.insert(method.name, route).is_some() {
                return Err(BindError::Duplicate { service: method.service });
            }
            self.by_method.entry(method.name).or_insert(route);
        }
        self.services.push(service);
        Ok(())
    }

    fn find(&self, metadata: &Metadata, method: &str) -> std::result::Result<Route, ApplicationException> {
        let service = service_of(metadata);
        let found = match self.by_service.get(service) {
            Some(methods) => methods.get(method),
            None => self.by_method.get(method),
        };
        found.copied().ok_or_else(|| match self.by_service.contains_key(service) || service.is_empty() {
            true => ApplicationException::unknown_method(method),
            false => ApplicationException::unknown_service(service),
        })
    }

    /// As [`find`](Self::find), for a ping-pong call: Kitex has other words for what it does not know.
    fn find_call(
        &self,
        metadata: &Metadata,
        method: &str,
    ) -> std::result::Result<Route, ApplicationException> {
        let service = service_of(metadata);
        self.find(metadata, method).map_err(|_| match self.by_service.contains_key(service) {
            true => ApplicationException::unknown_method(&format!("{method} (service {service})")),
            false => ApplicationException::unknown_service(&format!("{service}, method {method}")),
        })
    }

    fn request(&self, route: Route, metadata: Metadata, peer: Peer) -> Arc<Request> {
        Request::new(self.name.clone(), route.method, metadata, peer.address)
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
    StreamEnd { trailer: request.take_trailer(), error: ended.err().map(refuse_or_return) }
}

impl Handler for Router {
    fn stream(
        self: Arc<Self>,
        incoming: Incoming,
    ) -> std::result::Result<Served<impl Future<Output = StreamEnd> + Send + 'static>, ApplicationException>
    {
        let Incoming { method, metadata, scope, timeout, sender, receiver, peer } = incoming;
        let route = self.find(&metadata, &String::from_utf8_lossy(&method))?;
        if !route.method.mode.is_stream() {
            return Err(no_stream(route.method));
        }
        let Route { service, number, on_cancel, .. } = route;
        let request = self.request(route, metadata, peer);
        let ctx = Context::of_request(scope, timeout, request.clone());
        // Lives as long as the stream does, so it holds as little as it can while the handler runs.
        let handler = async move {
            let raw = RawStream { sender: sender.clone(), receiver };
            let input = Input::Stream { raw, request: request.clone(), layers: self.layers.clone() };
            let call = Call { ctx, method: request.method, input };
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
        Ok(Served { handler, on_cancel })
    }

    fn unary(
        self: Arc<Self>,
        call: UnaryCall,
    ) -> std::result::Result<Served<impl Future<Output = UnaryAnswer> + Send + 'static>, ApplicationException>
    {
        let UnaryCall { method, metadata, body, scope, timeout, peer } = call;
        let route = self.find_call(&metadata, &method)?;
        if route.method.mode.is_stream() {
            return Err(is_stream(route.method));
        }
        let request = self.request(route, metadata, peer);
        let ctx = Context::of_request(scope, timeout, request.clone());
        let handler = async move {
            let call = Call { ctx, method: route.method, input: Input::Args(body) };
            let result = self.call(route.service, route.number, call).await;
            let result = result.map(|answer| answer.into_bytes().unwrap_or(EMPTY_RESULT));
            UnaryAnswer { metadata: request.take_trailer(), result: result.map_err(refuse_or_return) }
        };
        Ok(Served { handler, on_cancel: route.on_cancel })
    }
}

fn service_of(metadata: &Metadata) -> &str {
    metadata.get_str(key::IDL_SERVICE).unwrap_or_default()
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
    let text = format!("{}.{} is no stream: call it ping-pong", method.service, method.name);
    ApplicationException::new(ApplicationException::UNKNOWN_METHOD, text)
}

fn is_stream(method: &Method) -> ApplicationException {
    let text = format!("{}.{} is a stream: open one", method.service, method.name);
    ApplicationException::new(ApplicationException::UNKNOWN_METHOD, text)
}
