//! Cancels, and what each hop reports: code, side and path, immediately, in any state of the hop.

use std::time::Duration;

use kitex::{Canceler, Context, Error};
use tokio::sync::watch;

use crate::fixture::by;
use crate::fixture::chain::Chain;
use crate::fixture::{
    Handlers, Peer, Refusing, Reporter, Req, brief, builder, ended, large, reports, req, resp, soon, until,
};

type Cancel = fn(&Canceler);

/// What A does; the errors of A's stream, of B's and C's to the next, and of D's handler.
const CHAIN: &[(&str, Cancel, &str, &str, &str, &str)] = &[
    (
        "cancel",
        Canceler::cancel,
        "12007 client",
        "12007 client ServiceA",
        "12007 client ServiceA -> ServiceB",
        "12007 server ServiceA -> ServiceB -> ServiceC",
    ),
    (
        "cancel with a cause",
        |canceler| canceler.cancel_with_cause("user pressed stop"),
        "12008 client",
        "12008 client ServiceA",
        "12008 client ServiceA -> ServiceB",
        "12008 server ServiceA -> ServiceB -> ServiceC",
    ),
    (
        "cancel by something else",
        |canceler| canceler.cancel_foreign("grpc says no"),
        "12011 client",
        "12011 client non-ttstream path -> ServiceA",
        "12011 client non-ttstream path -> ServiceA -> ServiceB",
        "12011 server non-ttstream path -> ServiceA -> ServiceB -> ServiceC",
    ),
];

#[tokio::test]
async fn cancel_ends_the_whole_chain_with_its_path() {
    let mut chain = Chain::of(&["ServiceB", "ServiceC", "ServiceD"]).await;
    let client = chain.client();
    for (what, cancel, at_a, at_b, at_c, at_d) in CHAIN {
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some(), "the chain stands");
        cancel(&canceler);
        assert_eq!(ended(&soon(down.recv()).await), *at_a, "{what}");
        let parts = chain.parts(3).await;
        let parts: Vec<_> = parts.iter().map(|(name, end)| (&**name, &**end)).collect();
        assert_eq!(parts, [("ServiceB", *at_b), ("ServiceC", *at_c), ("ServiceD", *at_d)], "{what}");
    }
}

#[tokio::test]
async fn cancel_with_cause_arrives_with_its_text_at_every_hop() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |ctx, _, stream| {
        let reporter = reporter.clone();
        async move {
            stream.send(&resp("", 0)).await?;
            reporter.send(ctx.canceled().await.to_string());
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let (ctx, canceler) = Context::background().with_cancel();
    let mut down = peer.client().down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    canceler.cancel_with_cause("user pressed stop");
    canceler.cancel();
    let seen = soon(down.recv()).await.unwrap_err().to_string();
    let at_client = "[ttstream error, code=12008] [client-side stream] user pressed stop";
    assert_eq!(seen, by(at_client, "rpc error: code = 1 desc = context canceled"));
    let at_server =
        "[ttstream error, code=12008] [server-side stream] [canceled path: ServiceA] user pressed stop";
    // Kitex's text; the cause is beside it.
    let rst = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL \
               [triggered by ServiceA]";
    assert_eq!(reported.next().await, by(at_server, rst), "the first reason stays");
}

/// What a handler waits for when its stream is canceled.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Recv,
    Send,
    Canceled,
    Call,
    Stream,
}

#[tokio::test]
async fn cancel_wakes_a_handler_wherever_it_waits() {
    let (hold, held) = watch::channel(false);
    let never = move |_, _| {
        let mut held = held.clone();
        async move {
            held.wait_for(|held| *held).await.unwrap();
            Ok(resp("", 0))
        }
    };
    let next = Peer::start(Handlers::default().unary(never)).await;
    let rows = [
        (Waits::Recv, "12007 server ServiceA"),
        (Waits::Send, "12007 server ServiceA"),
        (Waits::Canceled, "12007 server ServiceA"),
        (Waits::Call, "12007 client ServiceA"),
        (Waits::Stream, "12007 client ServiceA"),
    ];
    for (waits, expected) in rows {
        let (reporter, mut reported) = reports();
        let next = crate::fixture::chain::client("ServiceC", &next.address);
        let peer = Peer::start(Handlers::default().bidi(move |ctx, stream| {
            let (reporter, next) = (reporter.clone(), next.clone());
            async move {
                // The cancel may come with the first message: it is to meet a stream that is open.
                let below = if let Waits::Stream = waits { Some(next.bidi(&ctx).await?) } else { None };
                stream.send(&resp("begun", 0)).await?;
                let error = match below {
                    Some(mut below) => below.recv().await.unwrap_err(),
                    None => wait(waits, &ctx, stream, &next).await,
                };
                reporter.send(brief(&error));
                Err(error)
            }
        }))
        .await;
        let (ctx, canceler) = Context::background().with_cancel();
        // The client receives only the first message, so a Send soon waits.
        let mut bidi = peer.client().bidi(&ctx).await.unwrap();
        soon(bidi.recv()).await.unwrap();
        canceler.cancel();
        assert_eq!(reported.next().await, expected, "{waits:?}");
    }
    drop(hold);
}

async fn wait(
    waits: Waits,
    ctx: &Context,
    mut stream: kitex::BidiStreamingServer<Req, crate::fixture::Resp>,
    next: &crate::fixture::EchoClient,
) -> Error {
    match waits {
        Waits::Recv => stream.recv().await.unwrap_err(),
        Waits::Send => loop {
            let message = crate::fixture::answer(large(100_000));
            if let Err(error) = stream.send(&message).await {
                return error;
            }
        },
        Waits::Canceled => ctx.canceled().await.into(),
        Waits::Call | Waits::Stream => next.unary(ctx, req("", 0)).await.unwrap_err(),
    }
}

#[tokio::test]
async fn canceled_context_opens_nothing() {
    let refusing = Refusing::new();
    let client = builder(&refusing.address).build().unwrap();
    let echo = crate::fixture::EchoClient::new(client.clone());
    for (_, cancel, expected, ..) in CHAIN {
        let (ctx, canceler) = Context::background().with_cancel();
        cancel(&canceler);
        let (child, _canceler) = ctx.with_cancel();
        for ctx in [&ctx, &child, &ctx.with_timeout(Duration::from_secs(9)), &ctx.with_persistent("k", "v")] {
            assert_eq!(ended(&echo.down(ctx, req("", 0)).await), *expected);
            assert_eq!(ended(&echo.bidi(ctx).await), *expected);
            assert_eq!(ended(&echo.unary(ctx, req("", 0)).await), *expected);
            assert!(ctx.reason().is_some());
            soon(ctx.canceled()).await;
        }
    }
    assert_eq!(client.pool_stats().dials, 0, "no dial under an ended context");
}

#[tokio::test]
async fn cancel_of_a_child_context_cancels_nothing_else() {
    let peer = Peer::start(Handlers::default()).await;
    let (client, (ctx, _canceler)) = (peer.client(), Context::background().with_cancel());
    let (child, canceler) = ctx.with_cancel();
    let (_sibling, dropped) = ctx.with_cancel();
    drop(dropped);
    let mut above = client.bidi(&ctx).await.unwrap();
    let mut below = client.bidi(&child).await.unwrap();
    canceler.cancel();
    assert_eq!(ended(&soon(below.recv()).await), "12007 client");
    above.send(&req("", 3)).await.unwrap();
    assert_eq!(soon(above.recv()).await.unwrap().unwrap().seq, Some(3));
    assert!(ctx.reason().is_none() && child.reason().is_some());
}

#[tokio::test]
async fn cancel_of_a_ping_pong_call_ends_it_and_cancels_its_handler() {
    let (reporter, mut reported) = reports();
    let unary = move |ctx: Context, _| {
        let reporter: Reporter<String> = reporter.clone();
        async move {
            reporter.send("begun".to_owned());
            reporter.send(brief(&ctx.canceled().await.into()));
            Ok(resp("", 0))
        }
    };
    let peer = Peer::start(Handlers::default().unary(unary)).await;
    let (ctx, canceler) = Context::background().with_cancel();
    let client = peer.client();
    // Within its first round trip a gRPC connection knows too little of its peer to send code and path of a cancel.
    let mut down = client.down(&Context::background(), req("", 1)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    let call = tokio::spawn(async move { client.unary(&ctx, req("", 0)).await });
    assert_eq!(reported.next().await, "begun");
    canceler.cancel();
    assert_eq!(ended(&soon(call).await.unwrap()), "12007 client");
    // Over TTHeader a call has nothing but its connection to reporter by.
    assert_eq!(reported.next().await, by("12013 nowhere", "12007 server ServiceA"));
}

/// A regression test of Kitex's: what a handler opened ends when the handler returns, 12012.
#[tokio::test]
async fn handler_return_ends_the_streams_that_it_opened() {
    let (reporter, mut reported) = reports();
    let mut chain = Chain::of(&["ServiceC"]).await;
    let next = crate::fixture::chain::client("ServiceC", &chain.first().address);
    let (returned, returns) = watch::channel(false);
    let handlers = Handlers::default().down(move |ctx, req, stream| {
        let (next, reporter, mut returns) = (next.clone(), reporter.clone(), returns.clone());
        async move {
            let mut answers = next.down(&ctx, req).await?;
            let first = answers.recv().await?.expect("the next service answers");
            let (late, keeps) = (reporter.clone(), stream.clone());
            tokio::spawn(async move {
                late.send(ended(&answers.recv().await));
                late.send(brief(&ctx.canceled().await.into()));
                returns.wait_for(|returned| *returned).await.unwrap();
                late.send(ended(&keeps.send(&resp("late", 0)).await));
                late.send(ended(&keeps.send_header()));
            });
            stream.send(&first).await
        }
    });
    let peer = Peer::start(handlers).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    assert_eq!(reported.next().await, "12012 client", "the stream that the handler opened");
    assert_eq!(reported.next().await, "12012 server", "its context");
    returned.send_replace(true);
    assert_eq!(reported.next().await, "12012 server", "its own stream, in hands that it left it in");
    assert_eq!(reported.next().await, "12012 server");
    assert_eq!(chain.parts(1).await, [("ServiceC".to_owned(), "12012 server ServiceB".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_that_races_the_end_leaves_one_outcome() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.client();
    let mut seen = [0, 0];
    for round in 0..300 {
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = client.down(&ctx, req("", 1)).await.unwrap();
        let racer = tokio::spawn(async move {
            for _ in 0..round % 30 {
                tokio::task::yield_now().await;
            }
            canceler.cancel();
        });
        let first = loop {
            match soon(down.recv()).await {
                Ok(Some(_)) => {}
                last => break ended(&last.map(drop)),
            }
        };
        assert!(["ok", "12007 client"].contains(&&*first), "{first}");
        seen[usize::from(first == "ok")] += 1;
        racer.await.unwrap();
        assert_eq!(ended(&soon(down.recv()).await), first, "the first outcome stays");
        assert_eq!(down.trailer().is_some(), first == "ok", "a trailer is what makes a clean end");
    }
    println!("canceled {}, ended {}", seen[0], seen[1]);
}

#[tokio::test]
async fn cancel_ends_a_thousand_streams_of_one_context() {
    let (reporter, mut reported) = reports();
    let peer = Peer::start(crate::fixture::chain::idle(reporter)).await;
    let client = peer.raw_client(|client| client);
    let echo = crate::fixture::EchoClient::new(client.clone());
    let (ctx, canceler) = Context::background().with_cancel();
    let mut streams = Vec::new();
    for _ in 0..1000 {
        streams.push(echo.down(&ctx, req("", 0)).await.unwrap());
    }
    for stream in &mut streams {
        soon(stream.recv()).await.unwrap();
    }
    canceler.cancel();
    for _ in 0..1000 {
        assert_eq!(reported.next().await.1, "12007 server ServiceA");
    }
    for stream in &mut streams {
        assert_eq!(ended(&soon(stream.recv()).await), "12007 client");
    }
    drop(streams);
    until(|| client.pool_stats().streams == 0).await;
}
