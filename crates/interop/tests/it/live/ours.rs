//! Plays a row with our client and Kitex's server: brings the stream to its state, ends it, and compares the
//! outcomes of both ends.

use std::time::Duration;

use interop::lab::{LabClient, Req, Resp};
use kitex::client::PoolKind;
use kitex::{
    BidiStreamingClient, Canceler, Client, Context, Error, Method, RecvTimeout, Side, StreamingMode, observe,
};

use super::proxy::{Hold, Proxy};
use super::seat::{Seat, Seated};
use super::table::{End, Mode, Row, State, Way};
use super::{Found, frames_of};
use crate::lines::PATIENCE;
use crate::local::{client, ends, request};
use crate::peer::Process;

/// Our end, and the stream that it was opened under.
struct Ours {
    way: Way,
    row: Row,
    proxy: Proxy,
    /// ServiceA's stream to us, under whose handler our stream is opened.
    front: Option<Front>,
    canceler: Canceler,
    stream: Option<BidiStreamingClient<Req, Resp>>,
}

struct Front {
    proxy: Proxy,
    canceler: Canceler,
    _stream: BidiStreamingClient<Req, Resp>,
    _seat: Seat,
    seated: Option<Seated>,
}

static UP: Method = Method::new("Lab", "Up", StreamingMode::Bidirectional);
static DOWN: Method = Method::new("Lab", "Down", StreamingMode::Bidirectional);
static BIDI: Method = Method::new("Lab", "Bidi", StreamingMode::Bidirectional);

/// Long enough to bring the stream to its state first.
const DEADLINE: Duration = Duration::from_secs(1);
const RECV_TIMEOUT: Duration = Duration::from_millis(400);
/// The timeout of expected frames; after it the row reports the missing ones.
const FRAMES: Duration = Duration::from_secs(3);

/// Returns whether the arguments of `lab-peer` can bring Kitex's server to the state: its handler sends its
/// header with its first response, returns from Up and Bidi when the client has closed, and never while it
/// idles.
pub(crate) fn reachable(way: Way, row: &Row) -> bool {
    let returns = matches!(way, Way::Return | Way::ReturnBiz | Way::ReturnError);
    let there = match (row.mode, row.state) {
        (Mode::Down, State::Fresh | State::Flowing) => true,
        (Mode::Down, State::Finishing) | (Mode::Up | Mode::Bidi, State::Fresh | State::Flowing) => !returns,
        (Mode::Up | Mode::Bidi, State::Finishing) => !returns,
        (_, State::Answered | State::HalfClosed) => false,
    };
    // It is unknown whether a handler without output has started before the cut.
    let cut_off = matches!(way, Way::Lost | Way::GarbageTo(_));
    let seen = (row.state, row.server) != (State::Fresh, End::Live)
        && !(cut_off && (row.mode, row.state) == (Mode::Up, State::Flowing));
    there
        && seen
        && !matches!(
            way,
            Way::RstThenReturn
                | Way::RstThenData
                | Way::Slow(_)
                | Way::HandlerRecvTimeout
                | Way::SendTimeout(_)
                | Way::Idle(_)
                | Way::EndAll
                | Way::Refused
                | Way::Draining
                | Way::TrailerTo(Side::Server)
                | Way::OddTrailerTo(Side::Server)
                // Its effect on other people's servers is not published.
                | Way::HeaderTo(Side::Server)
        )
        // There the injected header is the first.
        && (way, row.mode, row.state) != (Way::HeaderTo(Side::Client), Mode::Up, State::Flowing)
}

/// Plays the row; returns the differences.
pub(crate) async fn check(server: &Process, address: &str, way: Way, row: &Row) -> Found {
    let mut ours = Ours::open(address, way, *row).await;
    ours.reach().await;
    ours.act().await;
    ours.settle();
    let mut found = Found::default();
    ours.compare_client(&mut found).await;
    ours.compare_wires(&mut found).await;
    ours.proxy.cut();
    drop(ours);
    compare_server(server, address, way, row, &mut found).await;
    found
}

impl Ours {
    async fn open(address: &str, way: Way, row: Row) -> Self {
        let proxy = Proxy::start(address.to_owned()).await;
        let returns = matches!(way, Way::Return | Way::ReturnBiz | Way::ReturnError);
        if row.state == State::Fresh && !returns {
            proxy.to_server.hold(Hold::All);
        }
        if row.state == State::Finishing {
            proxy.to_client.hold(Hold::Trailer);
        }
        frames_of::edit(&proxy, way);
        if (way, row.state) == (Way::DataTo(Side::Server), State::Fresh) {
            frames_of::inject(&proxy, way);
        }
        let cascades =
            matches!(way, Way::Upstream | Way::UpstreamLost | Way::UpstreamReturned | Way::Foreign);
        let front = if cascades { Some(Front::start().await) } else { None };
        let own = if cascades { "ServiceB" } else { "ServiceA" };
        let client =
            Client::builder("ServiceB").caller(own).address(&*proxy.address).pool(PoolKind::Mux(1)).build();
        let keep = way == Way::RecvTimeoutKeep;
        let timeout = RecvTimeout { timeout: RECV_TIMEOUT, disable_cancel_remote: keep };
        let timeout = (keep || way == Way::RecvTimeout).then_some(timeout);
        let client = client.expect("name and address are good").with_recv_timeout(timeout);
        let above = front.as_ref().and_then(|front| front.seated.as_ref());
        let ctx = above.map_or_else(Context::background, |seated| seated.ctx.clone());
        let (ctx, canceler) = ctx.with_cancel();
        let ctx = match way {
            Way::Deadline | Way::LateDeadline => ctx.with_timeout(DEADLINE),
            _ => ctx,
        };
        let method = match row.mode {
            Mode::Down => &DOWN,
            Mode::Up => &UP,
            Mode::Bidi => &BIDI,
        };
        let stream = ends("open", client.bidi_streaming(&ctx, method)).await.expect("a stream");
        if row.mode == Mode::Down {
            stream.send(&request(words(way, row.state))).await.expect("nothing has ended yet");
            stream.close_send();
        }
        Self { way, row, proxy, front, canceler, stream: Some(stream) }
    }

    fn stream(&mut self) -> &mut BidiStreamingClient<Req, Resp> {
        self.stream.as_mut().expect("it was not dropped")
    }

    async fn reach(&mut self) {
        let Row { mode, state, .. } = self.row;
        let begun = if mode == Mode::Down { "HDT" } else { "H" };
        self.proxy.to_server.until(|word| word == begun, PATIENCE).await;
        if state == State::Fresh {
            return;
        }
        if mode != Mode::Down {
            for _ in 0..2 {
                self.stream().send(&request("")).await.expect("nothing has ended yet");
            }
            self.proxy.to_server.until(|word| word == "HDD", PATIENCE).await;
        }
        if mode != Mode::Up {
            self.proxy.to_client.until(|word| word.starts_with("HDD"), PATIENCE).await;
        }
        if state == State::Finishing {
            self.stream().close_send();
            self.proxy.to_client.until(|word| word.ends_with('T'), PATIENCE).await;
        }
    }

    async fn act(&mut self) {
        match self.way {
            Way::Cancel => self.canceler.cancel(),
            Way::Cause => self.canceler.cancel_with_cause("user pressed stop"),
            Way::Foreign => self.canceler.cancel_foreign("grpc: canceled"),
            Way::Release => self.stream = None,
            Way::Deadline => self.until_ended().await,
            Way::RecvTimeout => drop(self.take().await),
            Way::RecvTimeoutKeep => {
                let end = self.take().await.1;
                assert!(is_kept(&end), "{end:?}");
            }
            Way::Upstream | Way::UpstreamLost | Way::UpstreamReturned => {
                self.front.as_mut().expect("there is one").end(self.way);
                self.until_ended().await;
            }
            Way::Lost => self.proxy.cut(),
            Way::LateCancel | Way::LateDeadline | Way::LateLost => {
                self.settle();
                self.until_ended().await;
                match self.way {
                    Way::LateCancel => self.canceler.cancel(),
                    Way::LateLost => self.proxy.cut(),
                    _ => {}
                }
            }
            Way::DataTo(Side::Server) if self.row.state == State::Fresh => {}
            way => frames_of::inject(&self.proxy, way),
        }
    }

    /// Delivers all held frames.
    fn settle(&self) {
        self.proxy.to_server.hold(Hold::Nothing);
        self.proxy.to_client.hold(Hold::Nothing);
    }

    /// Waits until our end of the stream has ended, without a pending Recv.
    async fn until_ended(&self) {
        let ended = || {
            let streams = observe::streams();
            let mut ours = streams.iter().filter(|view| view.info.peer.to_string() == self.proxy.address);
            ours.all(|view| view.phase.as_str() == "ended")
        };
        let wait = async {
            while !ended() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        ends("the stream", wait).await;
    }

    /// Receives all messages; returns their number, and the end.
    async fn take(&mut self) -> (usize, Result<(), Error>) {
        let mut taken = 0;
        loop {
            match tokio::time::timeout(FRAMES, self.stream().recv()).await {
                Ok(Ok(Some(_))) => taken += 1,
                Ok(Ok(None)) => return (taken, Ok(())),
                Ok(Err(error)) => return (taken, Err(error)),
                Err(_) => return (taken, Err(Error::other("waits"))),
            }
        }
    }

    /// The same, through timeouts that keep the stream: the next message may take longer than one.
    async fn take_on(&mut self) -> (usize, Result<(), Error>) {
        let mut taken = 0;
        let take = async {
            loop {
                let (more, end) = self.take().await;
                taken += more;
                if !is_kept(&end) {
                    return (taken, end);
                }
            }
        };
        ends("the stream", take).await
    }

    async fn compare_client(&mut self, found: &mut Found) {
        let Row { client, left, .. } = self.row;
        if client == End::Gone {
            return;
        }
        if client == End::Live {
            // It continues: the injected frame has passed, and another message gets through.
            self.proxy.cut();
            let (_, end) = self.take_on().await;
            let lost = end.is_err_and(|error| error.code() == Some(kitex::Code::TRANSPORT_CLOSING));
            return found.differ("client continues", &lost, &true);
        }
        let (taken, end) = self.take_on().await;
        // Up's response is a message too, which the table counts.
        found.differ("client, messages left", &taken, &left[0]);
        found.differ("client", &frames_of::end_text(&end), &frames_of::sentence(client));
        let (_, again) = self.take().await;
        found.differ("client, once more", &frames_of::end_text(&again), &frames_of::end_text(&end));
        let late = ends("send", self.stream().send(&request("late"))).await;
        found.differ("client may send", &late.is_ok(), &false);
    }

    async fn compare_wires(&mut self, found: &mut Found) {
        let (client, server) = frames_of::expected(&self.row);
        // The handler returns under the reset of the proxy: our client replies to its response, sooner or later.
        let replies = frames_of::returns_early(&self.row);
        let is_expected = |word: &str| word == client || (replies && word.strip_suffix('R') == Some(&client));
        let sent = self.proxy.to_server.until(is_expected, FRAMES).await;
        if !is_expected(&sent) {
            found.differ("client sent", &sent, &client);
        }
        let sent = self.proxy.to_client.until(|word| word == server, FRAMES).await;
        found.differ("Kitex sent", &sent, &server);
    }
}

/// Returns whether it was a timeout that keeps the stream.
fn is_kept(end: &Result<(), Error>) -> bool {
    end.as_ref().is_err_and(|error| error.stream().is_some_and(kitex::StreamError::is_retryable))
}

/// Compares the output of Kitex's handler: one line, if the row's handler prints any.
async fn compare_server(server: &Process, address: &str, way: Way, row: &Row, found: &mut Found) {
    let lab = LabClient::new(client(address));
    let mut stream = ends("open", lab.down(&Context::background(), request("n=9"))).await.expect("a stream");
    while ends("recv", stream.recv()).await.is_ok_and(|message| message.is_some()) {}
    let expected = frames_of::lines(way, row);
    let (mut lines, mut marked) = (Vec::new(), false);
    // The handler's end may come after the mark, which is independent of it.
    while !marked || lines.len() < expected.len() {
        let Some(line) = server.take_within(1, FRAMES).pop() else { break };
        match (&line["ev"], &line["n"]) {
            (_, number) if *number == 9 => marked = true,
            (event, _) if *event == "server" => lines.push(frames_of::text_of(&line)),
            _ => {}
        }
    }
    let joined = |lines: &[String]| if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") };
    found.differ("Kitex's handler", &joined(&lines), &joined(&expected));
}

/// Returns the words for the handler of Down.
fn words(way: Way, state: State) -> &'static str {
    match (way, state) {
        (Way::Return, State::Fresh) => "n=0",
        (Way::ReturnBiz, State::Fresh) => "biz=404",
        (Way::ReturnError, State::Fresh) => "fail",
        (Way::Return, _) | (_, State::Finishing) => "n=2",
        (Way::ReturnBiz, _) => "n=2;biz=404",
        (Way::ReturnError, _) => "n=2;fail",
        (_, State::Fresh) => "idle",
        _ => "n=2;idle",
    }
}

impl Front {
    async fn start() -> Self {
        let mut seat = Seat::start(|server| server).await;
        let proxy = Proxy::start(seat.address.clone()).await;
        let (ctx, canceler) = Context::background().with_cancel();
        let client = client(&proxy.address);
        let stream = ends("open", client.bidi_streaming(&ctx, &BIDI)).await.expect("a stream");
        let seated = Some(seat.next().await);
        Self { proxy, canceler, _stream: stream, _seat: seat, seated }
    }

    fn end(&mut self, way: Way) {
        match way {
            Way::Upstream => self.canceler.cancel(),
            Way::UpstreamLost => self.proxy.cut(),
            _ => self.seated.take().expect("it has not returned").returns(Ok(())),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.proxy.cut();
    }
}
