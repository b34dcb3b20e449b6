//! What gRPC does in words of its own: statuses, headers, metainfo, cancels, cascades and limits. What is the same
//! for both transports is in the files that are named after it.

use std::time::Duration;

use kitex::client::{GrpcConfig, Transport};
use kitex::server::OnCancel;
use kitex::{
    BizStatusError, Client, Context, Error, GrpcStatus, Kind, Metadata, Method, RecvTimeout, Result,
    ServerStreamingServer, StreamingMode,
};
use tokio::sync::watch;

use crate::fixture::{EchoClient, Handlers, Peer, Req, Resp, builder, large, reports, req, resp, soon};

const CANCELED_BY_A: &str = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: \
                             CANCEL [triggered by ServiceA]";

fn client(peer: &Peer) -> EchoClient {
    peer.client_with(|client| client.transport(Transport::Grpc))
}

fn text<T>(result: Result<T>) -> String {
    result.err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
}

/// Reads a stream to its end.
async fn drain(client: &EchoClient, seq: i64) -> (usize, Result<()>) {
    let mut count = 0;
    let mut down = match client.down(&Context::background(), req("", seq)).await {
        Ok(down) => down,
        Err(error) => return (count, Err(error)),
    };
    loop {
        match soon(down.recv()).await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Ok(())),
            Err(error) => return (count, Err(error)),
        }
    }
}

#[tokio::test]
async fn a_handlers_error_has_the_text_of_kitex_after_all_messages() {
    type Fails = fn() -> Error;
    let rows: [(Fails, &str); 5] = [
        (|| Error::other("handler failed"), "rpc error: code = 13 desc = handler failed [biz error]"),
        (|| GrpcStatus::new(5, "nope").into(), "rpc error: code = 5 desc = nope [biz error]"),
        (|| GrpcStatus::new(99, "é%\n").into(), "rpc error: code = 99 desc = é%\\n [biz error]"),
        (|| BizStatusError::new(404, "says no").into(), "biz error: code=404, msg=says no"),
        (
            || panic!("lab panic"),
            "rpc error: code = 13 desc = panic: [happened in biz handler, method=Echo.Down, please check the \
             panic at the server side] lab panic",
        ),
    ];
    for (fails, expected) in rows {
        for messages in [0, 3] {
            let handler = move |_, _, stream: ServerStreamingServer<Resp>| async move {
                for seq in 0..messages {
                    stream.send(&resp("", seq)).await?;
                }
                Err(fails())
            };
            let peer = Peer::start(Handlers::default().down(handler)).await;
            let (count, ended) = drain(&client(&peer), 0).await;
            assert_eq!((count, text(ended)), (messages as usize, expected.to_owned()));
        }
    }
}

#[tokio::test]
async fn extra_of_a_business_error_and_details_of_a_status_arrive_whole() {
    let biz = BizStatusError::new(404, "no").with_extra("k", "é\"");
    let status = GrpcStatus::new(5, "nope").with_details([0, 255, 1]);
    let (of_stream, of_call) = (biz.clone(), status.clone());
    let handlers = Handlers::default()
        .down(move |_, _, _| {
            let error = of_stream.clone();
            async move { Err(error.into()) }
        })
        .unary(move |_, _| {
            let error = of_call.clone();
            async move { Err(error.into()) }
        });
    let peer = Peer::start(handlers).await;
    let (_, ended) = drain(&client(&peer), 0).await;
    assert_eq!(ended.unwrap_err().biz(), Some(&biz));
    let error = soon(client(&peer).unary(&Context::background(), req("", 0))).await.unwrap_err();
    assert_eq!(error.to_string(), "remote or network error: rpc error: code = 5 desc = nope [biz error]");
    assert_eq!(error.grpc_status().unwrap().details(), status.details());
}

#[tokio::test]
async fn what_a_server_does_not_know_is_refused_in_the_words_of_kitex() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.raw_client(|client| client.transport(Transport::Grpc));
    let rows = [
        ("Echo", "Nope", StreamingMode::Server, "rpc error: code = 1 desc = unknown method Nope"),
        ("Nobody", "Nope", StreamingMode::Server, "rpc error: code = 20 desc = unknown service Nobody"),
        (
            "Echo",
            "Nope",
            StreamingMode::Unary,
            "remote or network error: rpc error: code = 1 desc = unknown method Nope",
        ),
        (
            "Nobody",
            "Nope",
            StreamingMode::PingPong,
            "remote or network error: rpc error: code = 20 desc = unknown service Nobody",
        ),
    ];
    for (service, name, mode, expected) in rows {
        let method = Method::new(service, name, mode);
        assert_eq!(text(soon(call(&client, &method)).await), expected);
    }
}

async fn call(client: &Client, method: &Method) -> Result<()> {
    let ctx = Context::background();
    if !method.mode().is_stream() {
        return client.call::<Req, Resp>(&ctx, method, &req("", 1)).await.map(drop);
    }
    let mut stream = client.server_streaming::<Req, Resp>(&ctx, method, &req("", 1)).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn headers_trailers_and_metainfo_arrive() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, req: Req, stream| {
        let (metadata, peer) = (ctx.metadata().unwrap().clone(), ctx.service().unwrap().to_owned());
        tell.tell((metadata, peer, ctx.transient("TK").cloned(), ctx.persistent("PER_SIST").cloned()));
        async move {
            stream.set_header("hk", "hv")?;
            stream.set_header("raw-bin", &b"\x00\xff"[..])?;
            stream.set_trailer("tk", "tv");
            for seq in 0..req.seq.unwrap_or_default() {
                stream.send(&resp("", seq)).await?;
            }
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let headers = Metadata::from_iter([("user-key", "uv"), ("te", "x")]);
    let raw = peer.raw_client(|client| client.transport(Transport::Grpc));
    let client = EchoClient::new(raw.with_options(|options| options.headers = headers));
    let ctx = Context::background().with_transient("tk", "1").with_persistent("per_sist", "2");
    for messages in [0, 2] {
        let mut down = client.down(&ctx, req("", messages)).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        let header = soon(down.header()).await.unwrap();
        assert_eq!(header.get_str("content-type"), Some("application/grpc+thrift"));
        assert_eq!(
            (header.get_str("hk"), header.get("raw-bin").map(|raw| &raw[..])),
            (Some("hv"), Some(&[0, 255][..]))
        );
        let trailer = down.trailer().unwrap();
        assert_eq!((trailer.get_str("tk"), trailer.len()), (Some("tv"), 1));
        let (metadata, _, transient, persistent) = told.next().await;
        assert_eq!((transient.unwrap(), persistent.unwrap()), ("1".into(), "2".into()));
        assert_eq!(metadata.get_str("user-key"), Some("uv"));
        assert_eq!(metadata.get_str("source-service"), Some("ServiceA"));
        assert_eq!(metadata.get("te"), None, "a header of the protocol is not shown");
    }
}

#[tokio::test]
async fn without_messages_and_header_there_are_trailers_only() {
    let peer = Peer::start(Handlers::default()).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.header()).await.unwrap().is_empty());
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    assert_eq!(down.trailer().unwrap().get_str("content-type"), Some("application/grpc+thrift"));
}

/// How a client ends its stream.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Cancel,
    Cause,
    Drop,
    DropSender,
    Deadline,
    RecvTimeout,
}

#[tokio::test]
async fn a_handler_learns_of_the_end_though_nobody_receives() {
    let rows = [
        (Ends::Cancel, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
        (Ends::Cause, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
        (Ends::Drop, "", Kind::Canceled),
        (Ends::DropSender, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
        (Ends::Deadline, "rpc error: code = 4 desc = context deadline exceeded", Kind::Timeout),
        (
            Ends::RecvTimeout,
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:200ms DisableCancelRemote:false}",
            Kind::Timeout,
        ),
    ];
    for (ends, at_client, kind) in rows {
        let (tell, mut told) = reports();
        let handlers = Handlers::default().bidi(move |ctx: Context, stream| {
            let tell = tell.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                tell.tell(Error::from(ctx.canceled().await).to_string());
                tell.tell(text(stream.send(&resp("late", 0)).await));
                Ok(())
            }
        });
        let peer = Peer::with(handlers, |server| server.on_cancel(OnCancel::Notify)).await;
        let mut client = client(&peer);
        if matches!(ends, Ends::RecvTimeout) {
            client = EchoClient::new(peer.raw_client(|client| {
                client.transport(Transport::Grpc).recv_timeout(RecvTimeout::new(Duration::from_millis(200)))
            }));
        }
        let (mut ctx, canceler) = Context::background().with_cancel();
        if matches!(ends, Ends::Deadline) {
            ctx = ctx.with_timeout(Duration::from_millis(500));
        }
        let mut bidi = client.bidi(&ctx).await.unwrap();
        assert!(soon(bidi.recv()).await.unwrap().is_some());
        let ended = match ends {
            Ends::Cancel => {
                canceler.cancel();
                // The handler knows before anybody receives.
                assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
                Some(soon(bidi.recv()).await)
            }
            Ends::Cause => {
                canceler.cancel_with_cause("user pressed stop");
                assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
                Some(soon(bidi.recv()).await)
            }
            Ends::Drop => {
                drop(bidi);
                assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
                None
            }
            Ends::DropSender => {
                let (sender, mut receiver) = bidi.split();
                drop(sender);
                assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
                Some(soon(receiver.recv()).await)
            }
            Ends::Deadline => {
                // The handler has a deadline of its own: which comes first is open.
                let seen = told.next().await;
                assert!([CANCELED_BY_A, "context deadline exceeded"].contains(&&*seen), "{seen}");
                Some(soon(bidi.recv()).await)
            }
            Ends::RecvTimeout => {
                let ended = soon(bidi.recv()).await;
                assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
                Some(ended)
            }
        };
        let sent = told.next().await;
        let is_deadline = sent == "rpc error: code = 4 desc = context deadline exceeded";
        assert!(sent == CANCELED_BY_A || is_deadline && matches!(ends, Ends::Deadline), "{ends:?}: {sent}");
        if let Some(ended) = ended {
            let error = ended.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (at_client, Some(kind)), "{ends:?}");
            assert_eq!(error.is_canceled(), kind == Kind::Canceled);
        }
    }
}

#[tokio::test]
async fn a_recv_timeout_that_does_not_cancel_loses_no_message() {
    let (go, gone) = watch::channel(false);
    let handlers = Handlers::default().down(move |_, _, stream| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            stream.send(&resp("late", 7)).await
        }
    });
    let peer = Peer::start(handlers).await;
    let timeout = RecvTimeout { timeout: Duration::from_millis(50), disable_cancel_remote: true };
    let client = peer.client_with(|client| client.transport(Transport::Grpc).recv_timeout(timeout));
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    for _ in 0..3 {
        let error = soon(down.recv()).await.unwrap_err();
        assert!(error.is_retryable() && error.grpc_status().unwrap().code() == 17, "{error}");
    }
    go.send_replace(true);
    let message = loop {
        match soon(down.recv()).await {
            Err(error) if error.is_retryable() => {}
            received => break received.unwrap().unwrap(),
        }
    };
    assert_eq!(message.seq, Some(7));
}

#[tokio::test]
async fn a_context_that_is_over_opens_nothing() {
    let peer = Peer::start(Handlers::default()).await;
    let client = client(&peer);
    let (ctx, canceler) = Context::background().with_cancel();
    canceler.cancel();
    let rows = [(ctx, Kind::Canceled), (Context::background().with_timeout(Duration::ZERO), Kind::Timeout)];
    for (ctx, kind) in rows {
        let error = soon(client.bidi(&ctx)).await.map(drop).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), ("rpc timeout", Some(kind)));
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_says_so_in_the_words_of_kitex() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().unary(move |ctx: Context, _| {
        let tell = tell.clone();
        async move {
            tell.tell("begun".to_owned());
            tell.tell(Error::from(ctx.canceled().await).to_string());
            Ok(resp("", 0))
        }
    });
    let peer = Peer::with(handlers, |server| server.on_cancel(OnCancel::Notify)).await;
    let client = client(&peer);
    let (ctx, canceler) = Context::background().with_cancel();
    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.unary(&ctx, req("", 0)).await }
    });
    assert_eq!(told.next().await, "begun");
    canceler.cancel();
    let error = soon(calling).await.unwrap().unwrap_err();
    let expected = format!(
        "rpc timeout: timeout=0s, to=ServiceB, method=Unary, location=kitex.rpcTimeoutMW, remote={}: context \
         canceled by business",
        peer.address
    );
    assert_eq!((error.to_string(), error.is_canceled()), (expected, true));
    assert_eq!(told.next().await, CANCELED_BY_A);
    let ctx = Context::background().with_timeout(Duration::from_millis(300));
    let error = soon(client.unary(&ctx, req("", 0))).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout(text) if text.contains("to=ServiceB, method=Unary")), "{error}");
}

/// What B says of its stream to C, and what C is told, when A cancels, for the two links.
#[tokio::test]
async fn a_cancel_crosses_transports_in_the_words_of_kitex() {
    let (grpc, tt) = (Transport::Grpc, Transport::TtHeader);
    let by_b = CANCELED_BY_A.replace("ServiceA", "ServiceB");
    let rows = [
        (grpc, grpc, CANCELED_BY_A.to_owned(), by_b.clone()),
        (
            grpc,
            tt,
            format!("[ttstream error, code=12011] [client-side stream] {CANCELED_BY_A}"),
            format!(
                "[ttstream error, code=12011] [server-side stream] [canceled path: non-ttstream path -> ServiceB] \
                 {CANCELED_BY_A}"
            ),
        ),
        (
            tt,
            grpc,
            "rpc error: code = 13 desc = Unexpected error from context packet: [ttstream error, code=12007] \
             [server-side stream] [canceled path: ServiceA] user code invoking stream RPC with context processed \
             by context.WithCancel or context.WithTimeout, then invoking cancel() actively"
                .to_owned(),
            by_b,
        ),
    ];
    for (first, second, at_b, at_c) in rows {
        let (tell, mut told) = reports();
        let tell_c = tell.clone();
        let c = Handlers::default().down(move |ctx: Context, _, stream| {
            let tell = tell_c.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                tell.tell(("C", Error::from(ctx.canceled().await).to_string()));
                Ok(())
            }
        });
        let c = Peer::named("ServiceC", c, |server| server.on_cancel(OnCancel::Notify)).await;
        let next = Client::builder("ServiceC").address(&c.address).transport(second).build().unwrap();
        let next = EchoClient::new(next);
        let b = Handlers::default().down(move |ctx: Context, req, stream| {
            let (tell, next) = (tell.clone(), next.clone());
            async move {
                let mut from = next.down(&ctx, req).await?;
                loop {
                    match from.recv().await {
                        Ok(Some(message)) => stream.send(&message).await?,
                        ended => {
                            tell.tell(("B", text(ended)));
                            return Ok(());
                        }
                    }
                }
            }
        });
        let b = Peer::with(b, |server| server.on_cancel(OnCancel::Notify)).await;
        let (ctx, canceler) = Context::background().with_cancel();
        let client = b.client_with(|client| client.transport(first));
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        canceler.cancel();
        let mut seen = [told.next().await, told.next().await];
        seen.sort_unstable();
        assert_eq!(seen, [("B", at_b), ("C", at_c)], "{first:?} {second:?}");
    }
}

#[tokio::test]
async fn a_shutdown_resets_what_is_left_after_the_exit_wait() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let tell = tell.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            tell.tell(Error::from(ctx.canceled().await).to_string());
            Ok(())
        }
    });
    let peer = Peer::with(handlers, |server| server.exit_wait(Duration::from_millis(100))).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    let stopped = peer.stop();
    let expected = "rpc error: code = 14 desc = graceful shutdown";
    assert_eq!(told.next().await, expected);
    assert_eq!(text(soon(down.recv()).await), expected);
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_ends_within_the_exit_wait_ends_well() {
    let (go, gone) = watch::channel(false);
    let handlers = Handlers::default().down(move |_, _, stream| {
        let mut gone = gone.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            gone.wait_for(|gone| *gone).await.unwrap();
            stream.send(&resp("done", 1)).await
        }
    });
    let peer = Peer::with(handlers, |server| server.exit_wait(Duration::from_secs(30))).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    let stopped = peer.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    go.send_replace(true);
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(1));
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn a_lost_server_and_a_lost_client_are_told_apart_from_a_cancel() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let tell = tell.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            tell.tell(Error::from(ctx.canceled().await).to_string());
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let proxy = crate::fixture::Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).transport(Transport::Grpc).build().unwrap());
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    proxy.cut();
    let error = soon(down.recv()).await.unwrap_err();
    let expected = format!(
        "connection error: desc = \"error reading from server, remoteAddress={}, error=EOF peer close\"",
        proxy.address
    );
    assert_eq!((error.to_string(), error.kind()), (expected, Some(Kind::Protocol)));
    assert_eq!(
        told.next().await,
        "rpc error: code = 1 desc = transport: connection EOF [triggered by remote service]"
    );
}

#[tokio::test]
async fn cancels_of_half_the_streams_of_a_connection_end_no_other() {
    let handlers = Handlers::default().bidi(|_, mut stream| async move {
        while let Some(Req { msg, seq, payload }) = stream.recv().await? {
            stream.send(&Resp { msg, seq, payload }).await?;
        }
        Ok(())
    });
    let peer = Peer::start(handlers).await;
    let client = client(&peer);
    for fresh in [true, false] {
        let mut streams = Vec::new();
        for _ in 0..200 {
            let mut bidi = client.bidi(&Context::background()).await.unwrap();
            if !fresh {
                bidi.send(&req("", 1)).await.unwrap();
                assert!(soon(bidi.recv()).await.unwrap().is_some());
            }
            streams.push(bidi);
        }
        let mut left = Vec::new();
        for (index, bidi) in streams.into_iter().enumerate() {
            if index % 2 == 0 {
                drop(bidi);
            } else {
                left.push(bidi);
            }
        }
        for mut bidi in left {
            bidi.send(&req("", 2)).await.unwrap();
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(2), "fresh: {fresh}");
            bidi.close_send();
            assert_eq!(soon(bidi.recv()).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_stop_no_other() {
    let peer = Peer::start(Handlers::default()).await;
    let client = client(&peer);
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(client.down(&Context::background(), req("", 5_000)).await.unwrap());
    }
    let (count, ended) = drain(&client, 100).await;
    assert_eq!((count, text(ended)), (100, "ok".to_owned()));
    let mut last = unread.pop().unwrap();
    for seq in 0..5_000 {
        assert_eq!(soon(last.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
}

#[tokio::test]
async fn limits_hold_and_say_so() {
    let limits = GrpcConfig::default().max_message_size(1000).max_concurrent_streams(2);
    let peer = Peer::with(Handlers::default(), |server| server.grpc(limits)).await;
    let client = client(&peer);
    let ctx = Context::background();
    let mut bidi = client.bidi(&ctx).await.unwrap();
    bidi.send(&large(2000)).await.unwrap();
    let error = text(soon(bidi.recv()).await);
    assert!(error.starts_with("rpc error: code = 8 desc = received message larger than max (20"), "{error}");
    let own = peer.client_with(|client| {
        client.transport(Transport::Grpc).grpc(GrpcConfig::default().max_message_size(1000))
    });
    let mut bidi = own.bidi(&ctx).await.unwrap();
    let error = text(soon(bidi.send(&large(2000))).await);
    assert!(error.starts_with("rpc error: code = 8 desc = "), "{error}");
    bidi.send(&req("still", 1)).await.unwrap();
    assert_eq!(
        soon(bidi.recv()).await.unwrap().unwrap().seq,
        Some(1),
        "a message that is too large harms nothing"
    );
    bidi.close_send();
    while soon(bidi.recv()).await.unwrap().is_some() {}

    // A stream over the peer's limit waits for a place, and still obeys its context.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut bidi = client.bidi(&ctx).await.unwrap();
        bidi.send(&req("", 1)).await.unwrap();
        soon(bidi.recv()).await.unwrap();
        held.push(bidi);
    }
    let short = ctx.with_timeout(Duration::from_millis(100));
    let mut waiting = client.bidi(&short).await.unwrap();
    assert_eq!(text(soon(waiting.recv()).await), "rpc error: code = 4 desc = context deadline exceeded");
    let mut third = client.bidi(&ctx).await.unwrap();
    let message = req("", 3);
    let sending = async {
        let sent = soon(third.send(&message)).await;
        sent.unwrap();
    };
    tokio::join!(sending, async { drop(held) });
    assert_eq!(soon(third.recv()).await.unwrap().unwrap().seq, Some(3), "a place has become free");
}

#[tokio::test]
async fn a_send_timeout_ends_the_stream() {
    let (hold, held) = watch::channel(false);
    let handlers = Handlers::default().bidi(move |_, _stream| {
        let mut held = held.clone();
        async move {
            held.wait_for(|held| *held).await.unwrap();
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let client =
        peer.client_with(|client| client.transport(Transport::Grpc).send_timeout(Duration::from_millis(200)));
    let bidi = client.bidi(&Context::background()).await.unwrap();
    let error = loop {
        if let Err(error) = soon(bidi.send(&large(100_000))).await {
            break error;
        }
    };
    assert_eq!(error.to_string(), "rpc error: code = 4 desc = stream Send timeout, timeout=200ms");
    assert_eq!(error.kind(), Some(Kind::Timeout));
    hold.send_replace(true);
}
