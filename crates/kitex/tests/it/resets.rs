//! An Rst by a gateway, which ends a stream at its client, at its server or at both: what each end sees and still sends,
//! and that no task is left waiting.

use futures_util::future::BoxFuture;
use kitex::{ApplicationException, Context, Error, Result, Side};
use tokio::sync::watch;
use ttheader_codec::key;

use crate::fixture::chain::Chain;
use crate::fixture::{
    EchoClient, Gateway, Handlers, Peer, Reporter, Reports, Req, To, answer, brief, builder, ended, reports,
    req, resp, soon, until,
};

/// A server behind a gateway, whose handlers report what they see.
struct Stage {
    gateway: Gateway,
    client: EchoClient,
    reported: Reports<String>,
    /// Lets a handler continue that waits for the end of its context.
    go: watch::Sender<bool>,
    _peer: Peer,
}

impl Stage {
    async fn new() -> Self {
        let (reporter, reported) = reports();
        let (go, gone) = watch::channel(false);
        let peer = Peer::start(handlers(reporter, gone)).await;
        let gateway = Gateway::to(&peer.address).await;
        let client = EchoClient::new(builder(&gateway.address).build().unwrap());
        Self { gateway, client, reported, go, _peer: peer }
    }
}

/// Each reports that it has begun, responds to one message if the request says so, and then waits until its context ends,
/// which it reports, or until it may continue.
fn handlers(reporter: Reporter<String>, gone: watch::Receiver<bool>) -> Handlers {
    let (of_up, of_bidi) = ((reporter.clone(), gone.clone()), (reporter.clone(), gone.clone()));
    Handlers::default()
        .down(move |ctx, req, stream| {
            let (reporter, gone) = (reporter.clone(), gone.clone());
            async move {
                reporter.send("begun".to_owned());
                if req.seq == Some(1) {
                    stream.send(&resp("", 0)).await?;
                }
                wait(&ctx, &reporter, gone).await?;
                reported(
                    &reporter,
                    async {
                        loop {
                            stream.send(&resp("", 0)).await?;
                        }
                    }
                    .await,
                )
            }
        })
        .up(move |ctx, mut stream| {
            let (reporter, gone) = of_up.clone();
            async move {
                reporter.send("begun".to_owned());
                if first(stream.recv(), &ctx, gone.clone()).await.is_some() {
                    stream.send_header()?;
                }
                wait(&ctx, &reporter, gone).await?;
                reporter.send("returned".to_owned());
                Ok(resp("", 0))
            }
        })
        .bidi(move |ctx, mut stream| {
            let (reporter, gone) = of_bidi.clone();
            async move {
                reporter.send("begun".to_owned());
                if let Some(req) = first(stream.recv(), &ctx, gone.clone()).await {
                    stream.send(&answer(req)).await?;
                }
                wait(&ctx, &reporter, gone).await?;
                reported(
                    &reporter,
                    async {
                        loop {
                            stream.send(&resp("", 0)).await?;
                        }
                    }
                    .await,
                )
            }
        })
}

/// The first request, if one comes before the handler may go on and before its context ends.
async fn first(
    recv: impl Future<Output = Result<Option<Req>>>,
    ctx: &Context,
    mut gone: watch::Receiver<bool>,
) -> Option<Req> {
    tokio::select! {
        Ok(Some(req)) = recv => Some(req),
        _ = gone.wait_for(|gone| *gone) => None,
        _ = ctx.canceled() => None,
    }
}

async fn wait(ctx: &Context, reporter: &Reporter<String>, mut gone: watch::Receiver<bool>) -> Result<()> {
    tokio::select! {
        reason = ctx.canceled() => reported(reporter, Err(Error::from(reason))),
        _ = gone.wait_for(|gone| *gone) => Ok(()),
    }
}

fn reported(reporter: &Reporter<String>, result: Result<()>) -> Result<()> {
    result.inspect_err(|error| reporter.send(brief(error)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Down,
    Up,
    Bidi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The handler runs and has sent nothing.
    Fresh,
    /// A message, or a header, has come back.
    Flowing,
}

use Mode::{Bidi, Down, Up};
use State::{Flowing, Fresh};

/// The mode and state, and all frames that the client and the server send on the stream.
type Row = (Mode, State, &'static str, &'static str);

/// The client is reset: it sends only its trailer. The handler continues; its next message makes the client
/// send one Rst, which stops it.
const CLIENT: &[Row] = &[
    (Down, Fresh, "HDTR", "HD"),
    (Down, Flowing, "HDTR", "HDD"),
    (Up, Fresh, "HTR", "HDT"),
    (Up, Flowing, "HDTR", "HDT"),
    (Bidi, Fresh, "HTR", "HD"),
    (Bidi, Flowing, "HDTR", "HDD"),
];

/// The server is reset, alone or with the client: its handler is notified and returns, and its trailer has
/// the error; after an Rst no header precedes it.
const SERVER: &[Row] = &[
    (Down, Fresh, "HDT", "T"),
    (Down, Flowing, "HDT", "HDT"),
    (Up, Fresh, "HT", "T"),
    (Up, Flowing, "HDT", "HT"),
    (Bidi, Fresh, "HT", "T"),
    (Bidi, Flowing, "HDT", "HDT"),
];

/// A stream that a gateway may reset, as its client sees it.
async fn open(stage: &mut Stage, mode: Mode, state: State) -> BoxFuture<'static, String> {
    let (client, ctx, flowing) = (&stage.client, Context::background(), state == Flowing);
    match mode {
        Down => {
            let mut down = client.down(&ctx, req("", i64::from(flowing))).await.unwrap();
            assert_eq!(stage.reported.next().await, "begun");
            if flowing {
                soon(down.recv()).await.unwrap().unwrap();
            }
            Box::pin(async move { ended(&soon(down.recv()).await) })
        }
        Up => {
            let mut up = client.up(&ctx).await.unwrap();
            assert_eq!(stage.reported.next().await, "begun");
            if flowing {
                up.send(&req("", 0)).await.unwrap();
                soon(up.header()).await.unwrap();
            }
            Box::pin(async move { ended(&soon(up.header()).await.and(soon(up.close_and_recv()).await)) })
        }
        Bidi => {
            let mut bidi = client.bidi(&ctx).await.unwrap();
            assert_eq!(stage.reported.next().await, "begun");
            if flowing {
                bidi.send(&req("", 0)).await.unwrap();
                soon(bidi.recv()).await.unwrap().unwrap();
            }
            Box::pin(async move { ended(&soon(bidi.recv()).await) })
        }
    }
}

/// What the two ends send: an Rst and a trailer of each at most, and no header after an Rst.
async fn check_frames(stage: &Stage, id: i32, row: &Row) {
    let (mode, state, at_client, at_server) = row;
    stage.gateway.sends(Side::Client, id, at_client).await;
    until(|| stage.gateway.sent_by(Side::Server, id).ends_with('T')).await;
    check_other(stage).await;
    let [client, server] = [Side::Client, Side::Server].map(|side| stage.gateway.sent_by(side, id));
    for sent in [&client, &server] {
        let few = |letter| sent.matches(letter).count() <= 1;
        assert!(
            few('R') && few('T') && few('H') && sent.rfind('H').is_none_or(|at| at == 0),
            "{row:?}: {sent}"
        );
    }
    assert_eq!(client, *at_client, "{mode:?} {state:?}");
    assert!(server.starts_with(at_server), "{mode:?} {state:?}: {server}, not {at_server}");
}

/// Checks that another stream of the connection was not affected.
async fn check_other(stage: &Stage) {
    let mut other = stage.client.bidi(&Context::background()).await.unwrap();
    other.send(&req("", 0)).await.unwrap();
    assert!(soon(other.recv()).await.unwrap().is_some());
}

#[tokio::test]
async fn rst_at_the_client_stops_the_server_at_its_next_message() {
    for row in CLIENT {
        let (mode, state, ..) = row;
        let mut stage = Stage::new().await;
        let end = open(&mut stage, *mode, *state).await;
        stage.gateway.reset(To::Client, 1);
        assert_eq!(end.await, "12009 client Gateway", "{mode:?} {state:?}");
        let before = row.2.trim_end_matches('R');
        stage.gateway.sends(Side::Client, 1, before).await;
        stage.go.send_replace(true);
        let handler = if *mode == Up { "returned" } else { "12009 server Gateway -> ServiceA" };
        assert_eq!(stage.reported.next().await, handler, "{mode:?} {state:?}");
        check_frames(&stage, 1, row).await;
    }
}

#[tokio::test]
async fn rst_at_the_server_reaches_the_client_in_the_trailer() {
    for (to, client) in [(To::Server, "12001 client"), (To::Both, "12009 client Gateway")] {
        for row in SERVER {
            let (mode, state, _, server) = row;
            let mut stage = Stage::new().await;
            let end = open(&mut stage, *mode, *state).await;
            stage.gateway.reset(to, 1);
            assert_eq!(end.await, client, "{to:?} {mode:?} {state:?}");
            assert_eq!(stage.reported.next().await, "12009 server Gateway", "{to:?} {mode:?} {state:?}");
            check_frames(&stage, 1, row).await;
            assert_eq!(stage.gateway.sent_by(Side::Server, 1), *server, "{to:?} {mode:?} {state:?}");
        }
    }
}

#[tokio::test]
async fn rst_at_the_server_has_its_cancel_path_in_the_trailer() {
    let mut stage = Stage::new().await;
    let mut down = stage.client.down(&Context::background(), req("", 1)).await.unwrap();
    assert_eq!(stage.reported.next().await, "begun");
    stage.gateway.reset(To::Server, 1);
    assert!(soon(down.recv()).await.unwrap().is_some(), "what had been sent comes first");
    assert_eq!(
        soon(down.recv()).await.unwrap_err().to_string(),
        "[ttstream error, code=12001] [client-side stream] biz error: [ttstream error, code=12009] \
         [server-side stream] [canceled path: Gateway] gateway says no"
    );
}

type Strings = &'static [(&'static [u8], &'static [u8])];

#[tokio::test]
async fn rst_without_a_valid_payload_is_an_rst() {
    let odd = ApplicationException::new(i32::MIN, "").encode("", 1);
    let call = b"\x80\x01\x00\x01\x00\x00\x00\x04Down\x00\x00\x00\x01\x00";
    let rows: &[(Strings, &[u8], &str, &str, &str)] = &[
        (&[], b"", "13 client", "13 server", "13 server ServiceA"),
        (&[], b"no exception", "13 client", "13 server", "13 server ServiceA"),
        (&[], call, "13 client", "13 server", "13 server ServiceA"),
        (&[(key::CANCEL_PATH, b"")], b"", "13 client", "13 server", "13 server ServiceA"),
        (
            &[(key::CANCEL_PATH, b"X,Y")],
            b"",
            "13 client X -> Y",
            "13 server X -> Y",
            "13 server X -> Y -> ServiceA",
        ),
        (&[], &odd, "-2147483648 client", "-2147483648 server", "-2147483648 server ServiceA"),
    ];
    for (strings, payload, client, server, stopped) in rows {
        let mut stage = Stage::new().await;
        let end = open(&mut stage, Down, Flowing).await;
        stage.gateway.reset_with(To::Both, 1, strings, payload);
        assert_eq!((&*end.await, &*stage.reported.next().await), (*client, *server));
        // The same for the client alone, which returns the error.
        let end = open(&mut stage, Bidi, Flowing).await;
        stage.gateway.reset_with(To::Client, 2, strings, payload);
        assert_eq!(end.await, *client);
        stage.go.send_replace(true);
        assert_eq!(stage.reported.next().await, *stopped);
        stage.gateway.sends(Side::Client, 2, "HDTR").await;
    }
}

#[tokio::test]
async fn rst_after_the_end_or_another_rst_is_ignored() {
    let mut stage = Stage::new().await;
    let end = open(&mut stage, Bidi, Flowing).await;
    for _ in 0..3 {
        stage.gateway.reset(To::Both, 1);
    }
    assert_eq!(end.await, "12009 client Gateway");
    assert_eq!(stage.reported.next().await, "12009 server Gateway");
    stage.gateway.sends(Side::Server, 1, "HDT").await;
    for to in [To::Client, To::Server, To::Both] {
        stage.gateway.reset(to, 1);
    }
    // After them on the same connection.
    check_other(&stage).await;
    assert_eq!(stage.reported.next().await, "begun");
    stage.gateway.sends(Side::Client, 1, "HDT").await;
    assert_eq!(stage.gateway.sent_by(Side::Server, 1), "HDT");
}

/// A path near the bound of a header's value must fit into a frame after the next name is added.
#[tokio::test]
async fn cancel_path_of_any_length_passes_the_chain() {
    let (deep, wide) = (["x,"; 32_000].concat(), "x".repeat(65_535));
    for path in [deep.trim_end_matches(','), &wide] {
        let mut chain = Chain::of(&["ServiceB", "ServiceC"]).await;
        let gateway = Gateway::to(&chain.first().address).await;
        let client = EchoClient::new(builder(&gateway.address).build().unwrap());
        let ctx = Context::background();
        let mut streams =
            [client.down(&ctx, req("", 0)).await.unwrap(), client.down(&ctx, req("", 0)).await.unwrap()];
        for stream in &mut streams {
            soon(stream.recv()).await.unwrap().unwrap();
        }
        gateway.reset_with(To::Server, 1, &[(key::CANCEL_PATH, path.as_bytes())], b"");
        let [reset, other] = streams;
        let parts = chain.parts(2).await;
        let at_c = &parts[1].1;
        assert!(at_c.starts_with("13 server x"), "{at_c}");
        assert!(at_c.ends_with(" -> ServiceB") && at_c.contains(" -> ... -> "), "{at_c}");
        assert!(at_c.len() < 8192, "{} bytes", at_c.len());
        drop(reset);
        // On the same two connections, and still there.
        drop(other);
        let names = ["ServiceB", "ServiceC"].map(str::to_owned);
        let words = ["12007 client ServiceA", "12007 server ServiceA -> ServiceB"].map(str::to_owned);
        assert_eq!(chain.parts(2).await, names.into_iter().zip(words).collect::<Vec<_>>());
    }
}
