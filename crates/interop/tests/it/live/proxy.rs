//! A proxy of one connection: records every frame, holds frames, injects frames, changes trailers, cuts the
//! connection. Knows nothing of the expected outcome.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kitex::Side;
use kitex::bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use ttheader_codec::FrameType;

use super::frames::{Seen, Tap};

/// Maps a frame to the forwarded one.
pub(crate) type Edit = Box<dyn Fn(Seen) -> Seen + Send>;

/// The frames that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    /// A trailer, and everything after it.
    Trailer,
    All,
}

/// One proxied connection to `upstream`. Cut when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: String,
    pub(crate) to_server: Arc<Wire>,
    pub(crate) to_client: Arc<Wire>,
    cut: watch::Sender<bool>,
}

/// One direction.
pub(crate) struct Wire {
    state: Mutex<State>,
    /// Notified when frames may pass.
    passable: Notify,
    /// Notified when frames were sent or have passed.
    changed: Notify,
}

struct State {
    sent: Tap,
    hold: Hold,
    edit: Option<Edit>,
    waiting: VecDeque<(Option<FrameType>, Bytes)>,
    /// A frame is being written.
    writing: bool,
    lost: bool,
}

impl Proxy {
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (to_server, to_client) = (Arc::<Wire>::default(), Arc::<Wire>::default());
        let (cut, lost) = watch::channel(false);
        tokio::spawn(pass(listener, upstream, [to_server.clone(), to_client.clone()], lost));
        Self { address, to_server, to_client, cut }
    }

    pub(crate) fn wire_to(&self, side: Side) -> &Arc<Wire> {
        match side {
            Side::Client => &self.to_client,
            Side::Server => &self.to_server,
        }
    }

    /// Cuts the connection at both ends; held frames are lost.
    pub(crate) fn cut(&self) {
        [&self.to_server, &self.to_client].into_iter().for_each(|wire| wire.with(|state| state.lost = true));
        self.cut.send_replace(true);
    }

    /// Injects bytes to both ends at once: what one end answers comes after what the other end gets.
    pub(crate) fn inject_to_both(&self, bytes: &Bytes) {
        let queue = |state: &mut State| state.waiting.push_back((None, bytes.clone()));
        self.to_client.with(|client| {
            queue(client);
            self.to_server.with(queue);
        });
        [&self.to_server, &self.to_client].into_iter().for_each(|wire| wire.passable.notify_one());
    }

    /// Returns the id of the stream.
    pub(crate) fn id(&self) -> i32 {
        self.to_server.with(|state| state.sent.frames().first().map_or(1, |seen| seen.id))
    }
}

impl State {
    fn may_pass(&self) -> bool {
        let Some((frame_type, _)) = self.waiting.front() else { return false };
        let held = match self.hold {
            Hold::Nothing => false,
            Hold::Trailer => *frame_type == Some(FrameType::Trailer),
            Hold::All => true,
        };
        !held && !self.lost
    }
}

impl Default for Wire {
    fn default() -> Self {
        let (sent, waiting) = (Tap::default(), VecDeque::new());
        let state = State { sent, hold: Hold::Nothing, edit: None, waiting, writing: false, lost: false };
        Self { state: Mutex::new(state), passable: Notify::new(), changed: Notify::new() }
    }
}

impl Wire {
    pub(crate) fn hold(&self, hold: Hold) {
        self.with(|state| state.hold = hold);
        self.passable.notify_one();
    }

    pub(crate) fn edit(&self, edit: Edit) {
        self.with(|state| state.edit = Some(edit));
    }

    /// Injects bytes after the held ones.
    pub(crate) fn inject(&self, bytes: impl Into<Bytes>) {
        self.with(|state| state.waiting.push_back((None, bytes.into())));
        self.passable.notify_one();
    }

    /// Returns the frames of all streams sent so far.
    pub(crate) fn frames(&self) -> Vec<Seen> {
        self.with(|state| state.sent.frames().to_vec())
    }

    /// Returns the frames of the first stream sent so far, as letters.
    pub(crate) fn word(&self) -> String {
        self.with(|state| state.sent.frames().first().map(|seen| seen.id).map(|id| state.sent.word(id)))
            .unwrap_or_default()
    }

    /// Waits until the sent frames are as wanted and those that may pass have passed, at most for `at_most`.
    /// Returns the sent frames.
    pub(crate) async fn until(&self, wanted: impl Fn(&str) -> bool, at_most: Duration) -> String {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if wanted(&self.word()) && self.with(|state| !state.writing && !state.may_pass()) {
                    return;
                }
                changed.await;
            }
        };
        // The caller sees in the result whether they came.
        let _ = tokio::time::timeout(at_most, wait).await;
        self.word()
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().expect("no panic under the lock"))
    }

    fn feed(&self, bytes: &[u8]) {
        self.with(|state| {
            let State { sent, edit, waiting, .. } = state;
            for seen in sent.feed(bytes) {
                let frame = match edit {
                    Some(edit) => edit(seen.clone()).encode(),
                    None => seen.encode(),
                };
                waiting.push_back((seen.frame_type(), frame));
            }
        });
        self.passable.notify_one();
        self.changed.notify_waiters();
    }

    fn next(&self) -> Option<Bytes> {
        self.with(|state| {
            let next = state.may_pass().then(|| state.waiting.pop_front()).flatten();
            state.writing = next.is_some();
            next.map(|(_, bytes)| bytes)
        })
    }

    /// Forwards all bytes, and then the end.
    async fn pump(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let reading = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                self.feed(&buffer[..read]);
            }
        };
        let writing = async {
            loop {
                let passable = self.passable.notified();
                while let Some(bytes) = self.next() {
                    if to.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                self.changed.notify_waiters();
                passable.await;
            }
        };
        tokio::select! {
            () = reading => {}
            () = writing => {}
        }
        while let Some(bytes) = self.next() {
            let _ = to.write_all(&bytes).await;
        }
    }
}

async fn pass(
    listener: TcpListener,
    upstream: String,
    wires: [Arc<Wire>; 2],
    mut lost: watch::Receiver<bool>,
) {
    let Ok((client, _)) = listener.accept().await else { return };
    let server = TcpStream::connect(&upstream).await.expect("the server listens");
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("it is a socket");
    }
    let ((from_client, client), (from_server, server)) = (client.into_split(), server.into_split());
    let [to_server, to_client] = wires;
    tokio::select! {
        () = to_server.pump(from_client, server) => {}
        () = to_client.pump(from_server, client) => {}
        _ = lost.wait_for(|lost| *lost) => {}
    }
}
