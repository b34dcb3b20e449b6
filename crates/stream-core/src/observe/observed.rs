//! One call and those who observe it: starts them, hands them its events, and sees to it that each has one end.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kerrors::{Code, Error, Side, StreamError};

use super::chain::ChainId;
use super::observer::{CallEnd, CallObserver, CallStart, Connected, HandlerFate, MessageEvent, Observers};
use crate::call::{CallHead, CallKind, OutgoingCall, UnaryEvents, name_text};
use crate::cancel::{Label, Scope};
use crate::guard::{guarded, report};
use crate::io::Address;
use crate::{Metadata, Metainfo, Method, clock};

/// The key of transient metainfo in which a caller's name travels where no header has it, as Kitex's OpenTelemetry
/// middleware writes it.
pub const SERVICE_NAME: &str = "service.name";

/// What few calls have: observers, and what they and views know of the call.
pub(crate) struct Observed {
    side: Side,
    /// Most calls have one, which takes no list.
    first: Option<Box<dyn CallObserver>>,
    more: Vec<Box<dyn CallObserver>>,
    /// Client: whether an observer wants the header of the response, or meta frames.
    pub(crate) wants_header: bool,
    pub(crate) wants_meta: bool,
    finished: AtomicBool,
    /// Of a ping-pong call: whether its arguments were sent, by any of its attempts.
    is_request_sent: AtomicBool,
    pub(crate) chain: Option<ChainId>,
    pub(crate) peer_service: Option<Arc<str>>,
}

/// A client's call that observers have seen start, and the metainfo that it is to be made with.
pub(crate) struct ObservedCall {
    pub(crate) observed: Arc<Observed>,
    pub(crate) metainfo: Metainfo,
}

impl Observed {
    fn new(side: Side) -> Self {
        let (finished, is_request_sent) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            side,
            first: None,
            more: Vec::new(),
            wants_header: false,
            wants_meta: false,
            finished,
            is_request_sent,
            chain: None,
            peer_service: None,
        }
    }

    /// Client: lets observers see the start of a call.
    ///
    /// # Errors
    /// An observer panicked.
    pub(crate) fn client(
        observers: &Observers,
        call: &OutgoingCall<'_>,
        kind: CallKind,
        protocol: &'static str,
    ) -> Result<ObservedCall, Error> {
        let mut observed = Self::new(Side::Client);
        let mut metainfo = call.metainfo.cloned().unwrap_or_default();
        let mut extensions = call.extensions.cloned().unwrap_or_default();
        let started = observed.start(
            observers,
            &mut CallStart {
                side: Side::Client,
                kind,
                protocol,
                method: Some(call.method),
                names: (call.method.service().into(), call.method.name().into()),
                caller: (!call.caller.is_empty()).then(|| Cow::Borrowed(&**call.caller)),
                callee: Cow::Borrowed(&**call.callee),
                peer: None,
                parent: call.scope.and_then(Scope::label),
                timeout: call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now())),
                headers: call.headers,
                metainfo: &mut metainfo,
                extensions: &mut extensions,
            },
        );
        if let Err(text) = started {
            let error = panicked(&text);
            observed.finish(Some(&error));
            return Err(error);
        }
        observed.chain = ChainId::of(&metainfo);
        observed.peer_service = Some(call.callee.clone());
        Ok(ObservedCall { observed: Arc::new(observed), metainfo })
    }

    /// Client: returns the data for views of a call without observers.
    pub(crate) fn unobserved(metainfo: Option<&Metainfo>) -> Option<Arc<Self>> {
        let chain = metainfo.and_then(ChainId::of)?;
        let mut observed = Self::new(Side::Client);
        observed.chain = Some(chain);
        Some(Arc::new(observed))
    }

    /// Server: lets observers see the start of a call, and puts what they add into `head`. Returns `None` if there is
    /// nothing to know of the call.
    ///
    /// # Errors
    /// The text of an observer's panic, beside what is to see the call's end.
    pub(crate) fn server<'m>(
        observers: &Observers,
        head: &mut CallHead,
        kind: CallKind,
        callee: &str,
        method: impl FnOnce(&str, &str) -> Option<&'m Method>,
    ) -> (Option<Arc<Self>>, Result<(), String>) {
        if observers.is_empty() {
            return (Self::unobserved(head.metainfo.as_ref()), Ok(()));
        }
        let names = (name_text(&head.service), name_text(&head.method));
        let method = method(&names.0, &names.1);
        let mut observed = Self::new(Side::Server);
        let mut metainfo = head.metainfo.take().unwrap_or_default();
        let mut extensions = std::mem::take(&mut head.extensions);
        let caller = head.caller.clone().or_else(|| metainfo.transient_folded(SERVICE_NAME).cloned());
        let caller = caller.filter(|name| !name.is_empty());
        let started = observed.start(
            observers,
            &mut CallStart {
                side: Side::Server,
                kind,
                protocol: head.protocol,
                method,
                names,
                caller: caller.as_ref().map(|name| name_text(name)),
                callee: callee.into(),
                peer: Some(&head.peer),
                parent: None,
                timeout: head.timeout,
                headers: &head.metadata,
                metainfo: &mut metainfo,
                extensions: &mut extensions,
            },
        );
        observed.chain = ChainId::of(&metainfo);
        observed.peer_service = caller.as_ref().map(|name| Arc::from(name_text(name)));
        head.metainfo = (!metainfo.is_empty()).then_some(metainfo);
        head.extensions = extensions;
        (Some(Arc::new(observed)), started)
    }

    fn start(&mut self, observers: &Observers, call: &mut CallStart<'_>) -> Result<(), String> {
        for observer in observers.iter() {
            match guarded(|| observer.start(call)) {
                Ok(None) => {}
                Ok(Some(of_call)) => self.add(of_call),
                Err(text) => {
                    report("an observer", &text);
                    return Err(text);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, observer: Box<dyn CallObserver>) {
        if self.side == Side::Client {
            self.wants_header |= guarded(|| observer.wants_header()).unwrap_or(false);
            self.wants_meta |= guarded(|| observer.wants_meta()).unwrap_or(false);
        }
        match self.first {
            None => self.first = Some(observer),
            Some(_) => self.more.push(observer),
        }
    }

    /// Returns whether anybody receives the call's events.
    pub(crate) fn is_observed(&self) -> bool {
        self.first.is_some()
    }

    /// Lets each observer see an event. A panic is logged and changes nothing.
    fn each(&self, event: impl Fn(&dyn CallObserver)) {
        let Some(first) = &self.first else { return };
        notify(&**first, &event);
        if !self.more.is_empty() {
            self.more.iter().for_each(|observer| notify(&**observer, &event));
        }
    }

    pub(crate) fn connected(&self, stream: Option<Label>, local: &Address, peer: &Address) {
        self.each(|observer| observer.connected(&Connected { stream, local, peer }));
    }

    pub(crate) fn header(&self, header: &Metadata) {
        self.each(|observer| observer.header(header));
    }

    pub(crate) fn meta(&self, strings: &Metadata, payload: &[u8]) {
        self.each(|observer| observer.meta(strings, payload));
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.each(|observer| observer.sent(&MessageEvent { bytes }));
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.each(|observer| observer.received(&MessageEvent { bytes }));
    }

    pub(crate) fn send_failed(&self, error: &Error) {
        self.each(|observer| observer.send_failed(error));
    }

    pub(crate) fn recv_failed(&self, error: &Error) {
        self.each(|observer| observer.recv_failed(error));
    }

    /// Reports the end of a call without a handler, once.
    pub(crate) fn finish(&self, error: Option<&Error>) {
        self.finish_after(error, None);
    }

    /// Reports the end, once, after the handler of the call has ended so.
    pub(crate) fn finish_after(&self, error: Option<&Error>, handler: Option<HandlerFate>) {
        if !self.finished.swap(true, Ordering::AcqRel) {
            self.each(|observer| observer.finish(&CallEnd { error, handler }));
        }
    }
}

impl Drop for Observed {
    /// Whatever drops a call before its end has canceled it: the caller who gave its opening up, or the end of the
    /// runtime.
    fn drop(&mut self) {
        if self.is_observed() && !*self.finished.get_mut() {
            self.finish(Some(&StreamError::new(Code::CANCELED).on_side(self.side).into()));
        }
    }
}

impl UnaryEvents for Observed {
    fn connected(&self, local: &Address, peer: &Address) {
        Self::connected(self, None, local, peer);
    }

    fn sent(&self, bytes: usize) {
        if !self.is_request_sent.swap(true, Ordering::Relaxed) {
            Self::sent(self, bytes);
        }
    }
}

fn notify(observer: &dyn CallObserver, event: &impl Fn(&dyn CallObserver)) {
    if let Err(text) = guarded(|| event(observer)) {
        report("an observer", &text);
    }
}

/// Returns the error of a client's call whose observer has panicked.
fn panicked(text: &str) -> Error {
    let cause = format!("panic: [happened in an observer] {text}");
    StreamError::new(Code::APPLICATION).on_side(Side::Client).with_cause(cause).into()
}
