//! Generated code on fake transports: a stream without a connection at a server, and one at a client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use kitex::bytes::{Bytes, BytesMut};
use kitex::middleware::{Invoke, RawStream};
use kitex::stream_core::Message;
use kitex::stream_core::call::{CallHead, StreamEnd};
use kitex::stream_core::cancel::{Label, Scope};
use kitex::stream_core::io::Address;
use kitex::stream_core::observe::StreamFacts;
use kitex::stream_core::server::MemoryListener;
use kitex::stream_core::stream::{NewStream, TransportStream};
use kitex::{
    CallOptions, Client, Code, Context, Error, Method, Payload, Reason, Result, Server, Side, StreamError,
    async_trait,
};
use outside::common::Topic;
use outside::story::{StoryClient, StoryServer, Word};
use outside::{Relay, Teller};
use tokio::sync::mpsc;

const LABEL: Label = Label { connection: 0, stream: 1 };
const ADDRESS: Address = Address::Memory(1);

/// One end of a stream that is made of lists.
struct Fake {
    side: Side,
    incoming: Mutex<VecDeque<Bytes>>,
    /// Messages that may be sent; then the peer cancels.
    budget: usize,
    state: Mutex<State>,
    /// Receives how the handler ended.
    finished: Option<mpsc::Sender<Option<Error>>>,
}

#[derive(Default)]
struct State {
    scope: Option<Scope>,
    sent: Vec<Bytes>,
    send_closed: bool,
    outcome: Option<Error>,
}

impl Fake {
    fn new(side: Side, incoming: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            side,
            incoming: Mutex::new(incoming.into_iter().collect()),
            budget: usize::MAX,
            state: Mutex::default(),
            finished: None,
        }
    }

    fn outcome_or<T>(&self, value: T) -> Result<T> {
        self.state.lock().unwrap().outcome.clone().map_or(Ok(value), Err)
    }
}

/// What the test keeps of a stream that it gives away.
struct Shared(Arc<Fake>);

impl TransportStream for Shared {
    fn side(&self) -> Side {
        self.0.side
    }

    fn facts(&self) -> StreamFacts {
        StreamFacts::new(LABEL, ADDRESS, ADDRESS)
            .with_names(Bytes::from_static(b"Story"), Bytes::from_static(b"Tell"))
    }

    fn label(&self) -> Label {
        LABEL
    }

    fn begin(&self, scope: &Scope) -> Option<CallHead> {
        self.0.state.lock().unwrap().scope = Some(scope.clone());
        let (service, method) = (Bytes::from_static(b"Story"), Bytes::from_static(b"Tell"));
        Some(CallHead::new(service, method, ADDRESS, "fake"))
    }

    fn poll_send(&self, _: &mut TaskContext<'_>, message: &Message<'_>) -> Poll<Result<()>> {
        self.0.outcome_or(())?;
        let mut state = self.0.state.lock().unwrap();
        state.sent.push(message.to_bytes());
        let canceled = (state.sent.len() == self.0.budget).then(|| state.scope.clone()).flatten();
        let error = StreamError::new(Code::CANCELED).on_side(Side::Server);
        if canceled.is_some() {
            state.outcome = Some(error.clone().into());
        }
        drop(state);
        // Not under the lock: it calls every stream that was opened below the handler.
        canceled.iter().for_each(|scope| scope.cancel(&Reason::Stream(error.clone())));
        Poll::Ready(Ok(()))
    }

    fn close_send(&self) {
        self.0.state.lock().unwrap().send_closed = true;
    }

    fn abandon_send(&self, reason: &Reason) {
        if !self.0.state.lock().unwrap().send_closed {
            self.cancel(reason);
        }
    }

    fn poll_recv(&self, _: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        Poll::Ready(self.0.outcome_or(self.0.incoming.lock().unwrap().pop_front()))
    }

    fn cancel(&self, reason: &Reason) {
        let (error, _) = reason.for_stream("fake", None);
        self.0.state.lock().unwrap().outcome.get_or_insert(error.into());
    }

    fn finish(&self, end: StreamEnd, scope: &Scope) {
        let error = end.error.map(Error::from);
        let ended = StreamError::new(Code::HANDLER_RETURNED);
        scope.cancel(&Reason::Stream(ended));
        let finished = self.0.finished.as_ref().map(|finished| finished.try_send(error));
        assert!(finished.is_none_or(|sent| sent.is_ok()));
    }

    fn outcome(&self) -> Option<Result<()>> {
        self.0.state.lock().unwrap().outcome.clone().map(Err)
    }
}

fn encoded(message: &impl Payload) -> Bytes {
    let mut buffer = BytesMut::new();
    message.encode(&mut buffer).unwrap();
    buffer.freeze()
}

fn word(text: &str) -> Word {
    Word { text: text.to_owned().into() }
}

/// A client whose streams are fakes on which these words arrive.
struct FakeStreams(&'static [&'static str], mpsc::Sender<Arc<Fake>>);

#[async_trait]
impl Invoke for FakeStreams {
    async fn call(&self, _: &Context, _: &Method, _: CallOptions, _: Bytes) -> Result<Bytes> {
        Err(Error::other("there are only streams here"))
    }

    async fn open(&self, _: &Context, method: &Method, _: CallOptions) -> Result<RawStream> {
        assert_eq!((method.service(), method.name()), ("Story", "Tell"));
        let fake = Arc::new(Fake::new(Side::Client, self.0.iter().map(|text| encoded(&word(text)))));
        self.1.try_send(fake.clone()).expect("room for every stream");
        let (sender, receiver) = NewStream::new(Shared(fake)).split();
        Ok(RawStream { sender, receiver })
    }
}

fn client(words: &'static [&'static str]) -> (StoryClient, mpsc::Receiver<Arc<Fake>>) {
    let (opened, streams) = mpsc::channel(8);
    let layer = tower_layer::layer_fn(move |_| FakeStreams(words, opened.clone()));
    let client = Client::builder("unused").address("127.0.0.1:1").layer(layer).build().unwrap();
    (StoryClient::new(client), streams)
}

/// Serves one stream that is a fake, and gives what was sent on it and how its handler ended.
async fn served(service: impl kitex::Service, budget: usize) -> (Vec<Bytes>, Option<Error>) {
    let (listener, _connector) = MemoryListener::new();
    let server = Server::builder("teller").service(service).listen(listener).unwrap();
    let (finished, mut end) = mpsc::channel(1);
    let topic = encoded(&Topic { text: "once upon".into() });
    let fake = Fake { budget, finished: Some(finished), ..Fake::new(Side::Server, [topic]) };
    let fake = Arc::new(fake);
    server.handle().serve_stream(NewStream::new(Shared(fake.clone())));
    let error = end.recv().await.expect("the handler ends");
    let sent = fake.state.lock().unwrap().sent.clone();
    (sent, error)
}

#[tokio::test(start_paused = true)]
async fn fake_server_stream_runs_a_service() {
    let (sent, error) = served(StoryServer::new(Teller), 3).await;
    assert_eq!(sent, ["once", "upon", "once"].map(|text| encoded(&word(text))));
    assert_eq!(error.as_ref().and_then(Error::code), Some(Code::CANCELED), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn fake_client_stream_is_read_by_a_client() {
    let (client, mut streams) = client(&["the", "end"]);
    let topic = Topic { text: "anything".into() };
    let mut words = client.tell(&Context::background(), topic.clone()).await.unwrap();
    let stream = streams.recv().await.unwrap();
    assert_eq!(*stream.state.lock().unwrap().sent, [encoded(&topic)]);
    assert_eq!(words.recv().await.unwrap(), Some(word("the")));
    assert_eq!(words.recv().await.unwrap(), Some(word("end")));
    assert_eq!(words.recv().await.unwrap(), None);

    // Dropped before its end, a stream is canceled.
    let words = client.tell(&Context::background(), topic).await.unwrap();
    drop(words);
    let stream = streams.recv().await.unwrap();
    let outcome = stream.state.lock().unwrap().outcome.clone();
    assert_eq!(outcome.and_then(|error| error.code()), Some(Code::CANCELED));
}

#[tokio::test(start_paused = true)]
async fn relay_between_fake_streams_passes_everything_on() {
    let (next, _streams) = client(&["the", "end"]);
    let (sent, error) = served(StoryServer::new(Relay { next }), usize::MAX).await;
    assert_eq!(sent, ["the", "end"].map(|text| encoded(&word(text))));
    assert!(error.is_none(), "{error:?}");
}
