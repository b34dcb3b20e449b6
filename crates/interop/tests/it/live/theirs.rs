//! Plays a row with Kitex's client and our server: the client is controlled by the arguments of `lab-peer`,
//! the handler by the test.

use std::time::Duration;

use kitex::server::{ConnectionConfig, OnCancel, ServerBuilder};
use kitex::{BizStatusError, Error, Result, Side};

use super::proxy::{Hold, Proxy};
use super::seat::{Seat, Seated};
use super::table::ends::RETURNED;
use super::table::{End, Mode, Row, State, Way};
use super::{Found, frames_of};
use crate::lines::PATIENCE;
use crate::local::ends;
use crate::peer::{Peer, Process};

struct Theirs {
    way: Way,
    row: Row,
    proxy: Proxy,
    seat: Seat,
    seated: Option<Seated>,
    client: Process,
}

const IDLE: Duration = Duration::from_millis(100);
/// The timeout of expected frames; after it the row reports the missing ones.
const FRAMES: Duration = Duration::from_secs(3);

/// Returns whether the arguments of `lab-peer` can bring Kitex's client to the state: it ends only a Down by
/// itself, sends five requests of Up at once and closes, and waits in Bidi for each of five responses.
pub(crate) fn reachable(way: Way, row: &Row) -> bool {
    let ends_itself = match way {
        Way::Cancel | Way::Cause => row.state != State::Answered,
        Way::Deadline | Way::RecvTimeout => true,
        _ => false,
    };
    let there = match row.mode {
        Mode::Down => true,
        Mode::Up => !matches!(row.state, State::Answered | State::Flowing),
        Mode::Bidi => row.state != State::Answered,
    };
    let by_others = matches!(
        way,
        Way::Return
            | Way::ReturnBiz
            | Way::ReturnError
            | Way::Lost
            | Way::GarbageTo(_)
            | Way::RstTo(_)
            | Way::RstToBoth
            | Way::RstThenReturn
            | Way::BareRstTo(_)
            | Way::OddRstTo(_)
            | Way::HeaderTo(_)
            | Way::DataTo(_)
            | Way::UnknownTo(_)
            | Way::MetaTo(_)
            | Way::TrailerTo(Side::Client)
            | Way::OddTrailerTo(Side::Client)
            | Way::OddBiz
            | Way::Idle(Side::Server)
            | Way::EndAll
            | Way::Refused
    );
    // A proxy cannot inject frames before the client's first frame.
    let early = (way, row.state) == (Way::DataTo(Side::Server), State::Fresh);
    let otherwise = match (way, row.mode, row.state) {
        // The request of Down, and the response of Up, are handled by generated code, which affects their
        // ends.
        (Way::RstThenReturn, Mode::Up, _) | (Way::RstThenReturn, Mode::Down, State::Fresh) => true,
        // The client sends its third request, and gets the error that the stream is closed.
        (
            Way::Return | Way::ReturnBiz | Way::ReturnError | Way::RstThenReturn,
            Mode::Bidi,
            State::Flowing,
        ) => true,
        // The client takes it for the response.
        (Way::DataTo(Side::Client), Mode::Up, State::Fresh) => true,
        _ => false,
    };
    there && !early && !otherwise && (by_others || (ends_itself && row.mode == Mode::Down))
}

/// Plays the row; returns the differences.
pub(crate) async fn check(way: Way, row: &Row) -> Found {
    let mut theirs = Theirs::start(way, *row).await;
    theirs.reach().await;
    theirs.act().await;
    theirs.proxy.to_server.hold(Hold::Nothing);
    theirs.proxy.to_client.hold(Hold::Nothing);
    let mut found = Found::default();
    theirs.compare_server(&mut found).await;
    theirs.compare_wires(&mut found).await;
    theirs.compare_client(&mut found).await;
    found
}

impl Theirs {
    async fn start(way: Way, row: Row) -> Self {
        let seat = Seat::start(|server| configured(server, way)).await;
        let proxy = Proxy::start(seat.address.clone()).await;
        let returns = matches!(way, Way::Return | Way::ReturnBiz | Way::ReturnError);
        if row.state == State::Fresh && !returns {
            proxy.to_server.hold(Hold::All);
        }
        if row.state == State::Finishing {
            proxy.to_client.hold(Hold::All);
        }
        frames_of::edit(&proxy, way);
        let client =
            Process::start(Peer::Go, &format!("client --addr {} {}", proxy.address, words(way, &row)));
        Self { way, row, proxy, seat, seated: None, client }
    }

    async fn reach(&mut self) {
        let Row { mode, state, .. } = self.row;
        let begun = match mode {
            Mode::Down => "HDT",
            Mode::Up => "HDDDDDT",
            Mode::Bidi => "HD",
        };
        self.proxy.to_server.until(|word| word.starts_with(begun), PATIENCE).await;
        let returns = matches!(self.way, Way::Return | Way::ReturnBiz | Way::ReturnError);
        if state == State::Fresh && !returns {
            return;
        }
        let mut seated = self.seat.next().await;
        if state != State::Fresh {
            seated.send_header().expect("nothing has ended yet");
        }
        // Bidi's client closes after five responses; for Down two are enough.
        let messages = match (mode, state) {
            (_, State::Fresh | State::Answered) | (Mode::Up, _) => 0,
            (Mode::Bidi, State::HalfClosed | State::Finishing) => 5,
            _ => 2,
        };
        if messages == 5 {
            self.proxy.to_client.hold(Hold::Trailer);
        }
        for _ in 0..messages {
            let request = ends("recv", seated.recv()).await.expect("nothing has ended yet");
            assert!(mode != Mode::Bidi || request.is_some(), "the client sends on");
            ends("send", seated.send()).await.expect("nothing has ended yet");
        }
        if messages == 5 {
            self.proxy.to_server.until(|word| word == "HDDDDDT", PATIENCE).await;
        }
        if state == State::Finishing {
            seated.returns(Ok(()));
            self.proxy.to_client.until(|word| word.ends_with('T'), PATIENCE).await;
            self.proxy.to_client.hold(Hold::Trailer);
        } else {
            self.proxy.to_client.until(|word| word.len() > messages, FRAMES).await;
            self.seated = Some(seated);
        }
    }

    async fn act(&mut self) {
        match self.way {
            Way::Return => self.returns(Ok(())),
            Way::ReturnBiz => {
                self.returns(Err(BizStatusError::new(404, "biz says no").with_extra("k", "v").into()));
            }
            Way::ReturnError => self.returns(Err(Error::other("handler failed"))),
            Way::Lost => self.proxy.cut(),
            Way::RstThenReturn => frames_of::inject(&self.proxy, Way::RstTo(Side::Server)),
            Way::EndAll => self.seat.leave(),
            Way::Cancel | Way::Cause | Way::Deadline | Way::RecvTimeout => {
                // It does so by itself; it waits for the held responses.
                let ended = |word: &str| word.contains('R') || word.ends_with("TT");
                self.proxy.to_server.until(ended, PATIENCE).await;
            }
            way => frames_of::inject(&self.proxy, way),
        }
    }

    fn returns(&mut self, result: Result<()>) {
        self.seated.take().expect("the handler runs").returns(result);
    }

    async fn compare_server(&mut self, found: &mut Found) {
        let row = self.row;
        let expected = row.server;
        if expected == RETURNED || expected == End::Unaware {
            return;
        }
        let mut seated = match self.seated.take() {
            Some(seated) => seated,
            None => match tokio::time::timeout(FRAMES, self.seat.next()).await {
                Ok(seated) => seated,
                // The request is received before the handler is called: an ended stream has none.
                Err(_) if (self.row.mode, self.row.state) == (Mode::Down, State::Fresh) => return,
                Err(_) => {
                    return found.differ(
                        "our handler",
                        &"nothing".to_owned(),
                        &frames_of::sentence(expected),
                    );
                }
            },
        };
        if expected == End::Live {
            found.differ("our handler has ended", &seated.ctx.reason().is_some(), &false);
            self.seated = Some(seated);
            return;
        }
        let reason = ends(&format!("the handler of {:?}, {row:?}", self.way), seated.ctx.canceled()).await;
        let error = Error::from(reason);
        found.differ(
            "our handler",
            &frames_of::end_text(&Err(error.clone())),
            &frames_of::sentence(expected),
        );
        let said = match ends("recv", take(&mut seated)).await {
            Ok(()) => ends("send", seated.send()).await,
            Err(error) => Err(error),
        };
        found.differ(
            "our handler, Send or Recv",
            &frames_of::end_text(&said),
            &frames_of::sentence(expected),
        );
        seated.returns(if self.way == Way::RstThenReturn { Ok(()) } else { Err(error) });
    }

    async fn compare_wires(&mut self, found: &mut Found) {
        let (client, server) = frames_of::expected_of_their_client(self.way, &self.row);
        let same = |word: &str, expected: &str| frames_of::squeezed(word) == expected;
        let sent = self.proxy.to_server.until(|word| same(word, &client), FRAMES).await;
        found.differ("Kitex sent", &frames_of::squeezed(&sent), &client);
        let sent = self.proxy.to_client.until(|word| same(word, &server), FRAMES).await;
        found.differ("server sent", &frames_of::squeezed(&sent), &server);
    }

    async fn compare_client(self, found: &mut Found) {
        let Self { way, row, proxy, seated, client, .. } = self;
        if row.client == End::Live {
            proxy.cut();
        }
        let ended = tokio::task::spawn_blocking(move || client.ends()).await.expect("it ends");
        let last = ended.lines.iter().rfind(|line| line["ev"] == "client" && !line["err"].is_null());
        let said = last.map_or_else(|| "nothing".to_owned(), frames_of::text_of);
        let expected = match (row.client, row.mode) {
            (End::Clean, Mode::Up) => String::new(),
            (End::Clean, _) => "EOF".to_owned(),
            // Its connection was cut.
            (End::Live, _) => frames_of::sentence(super::table::ends::LOST_HERE),
            (end, _) => frames_of::sentence(end),
        };
        found.differ("Kitex's client", &said, &expected);
        if let (End::Live, Some(seated)) = (row.server, seated) {
            proxy.cut();
            let reason = ends(&format!("the handler of {way:?}, {row:?}"), seated.ctx.canceled()).await;
            let lost = frames_of::sentence(super::table::ends::LOST_BELOW);
            found.differ("our handler, at last", &frames_of::end_text(&Err(reason.into())), &lost);
        }
    }
}

/// Receives all messages; returns the error after them.
async fn take(seated: &mut Seated) -> Result<()> {
    while seated.recv().await?.is_some() {}
    Ok(())
}

fn configured(server: ServerBuilder, way: Way) -> ServerBuilder {
    let server = match way {
        Way::Refused => server.max_concurrent_streams(0),
        Way::Idle(_) => server.connection(ConnectionConfig::default().stream_idle_timeout(IDLE)),
        _ => server,
    };
    server.on_cancel(OnCancel::Notify).exit_wait(Duration::ZERO)
}

fn words(way: Way, row: &Row) -> String {
    let after = if matches!(row.state, State::Fresh | State::Answered) { 0 } else { 2 };
    match (row.mode, way) {
        (Mode::Up, _) => "--what up".to_owned(),
        (Mode::Bidi, _) => "--what bidi".to_owned(),
        (Mode::Down, Way::Cancel) => format!("--what cancel --after {after}"),
        (Mode::Down, Way::Cause) => format!("--what cancelcause --after {after}"),
        (Mode::Down, Way::Deadline) => "--what timeout --after 1000".to_owned(),
        (Mode::Down, Way::RecvTimeout) => "--what recvtimeout --after 400".to_owned(),
        (Mode::Down, _) => "--what down".to_owned(),
    }
}
