//! Who cancels, and what everybody below sees of it: code, side and path at each hop, at once, whatever
//! each is doing at the time.

use std::time::Duration;

use kitex::{Canceler, Context, Error};
use tokio::sync::watch;

use crate::fixture::chain::Chain;
use crate::fixture::{
    Handlers, Nobody, Peer, Req, Tell, brief, builder, ended, large, reports, req, resp, soon, until,
};

type Cancel = fn(&Canceler);

/// What A does; what A's own stream says, B's and C's to the next, and what D is told.
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
async fn a_cancel_empties_the_whole_chain_and_names_everybody_on_its_way() {
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
async fn a_cause_is_read_in_its_words_at_every_hop() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx, _, stream| {
        let tell = tell.clone();
        async move {
            stream.send(&resp("", 0)).await?;
            tell.tell(ctx.canceled().await.to_string());
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
    assert_eq!(seen, "[ttstream error, code=12008] [client-side stream] user pressed stop");
    assert_eq!(
        told.next().await,
        "[ttstream error, code=12008] [server-side stream] [canceled path: ServiceA] user pressed stop",
        "the first reason stays"
    );
}

/// Where a handler can be when its stream is canceled.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Recv,
    Send,
    Canceled,
    Call,
    Stream,
}

#[tokio::test]
async fn a_handler_learns_of_a_cancel_wherever_it_waits() {
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
        let (tell, mut told) = reports();
        let next = crate::fixture::chain::client("ServiceC", &next.address);
        let peer = Peer::start(Handlers::default().bidi(move |ctx, stream| {
            let (tell, next) = (tell.clone(), next.clone());
            async move {
                stream.send(&resp("begun", 0)).await?;
                let error = wait(waits, &ctx, stream, &next).await;
                tell.tell(brief(&error));
                Err(error)
            }
        }))
        .await;
        let (ctx, canceler) = Context::background().with_cancel();
        // Nobody receives behind the first message, so a sender waits soon.
        let mut bidi = peer.client().bidi(&ctx).await.unwrap();
        soon(bidi.recv()).await.unwrap();
        canceler.cancel();
        assert_eq!(told.next().await, expected, "{waits:?}");
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
        Waits::Call => next.unary(ctx, req("", 0)).await.unwrap_err(),
        Waits::Stream => next.bidi(ctx).await.unwrap().recv().await.unwrap_err(),
    }
}

#[tokio::test]
async fn nothing_is_opened_under_a_context_that_has_ended() {
    let nobody = Nobody::new();
    let client = builder(&nobody.address).build().unwrap();
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
    assert_eq!(client.pool_stats().dials, 0, "nobody is dialed for what has ended");
}

#[tokio::test]
async fn a_child_that_is_canceled_takes_nothing_else_along() {
    let peer = Peer::start(Handlers::default()).await;
    let (client, (ctx, _canceler)) = (peer.client(), Context::background().with_cancel());
    let (child, canceler) = ctx.with_cancel();
    let (_twin, twins) = ctx.with_cancel();
    drop(twins);
    let mut above = client.bidi(&ctx).await.unwrap();
    let mut below = client.bidi(&child).await.unwrap();
    canceler.cancel();
    assert_eq!(ended(&soon(below.recv()).await), "12007 client");
    above.send(&req("", 3)).await.unwrap();
    assert_eq!(soon(above.recv()).await.unwrap().unwrap().seq, Some(3));
    assert!(ctx.reason().is_none() && child.reason().is_some());
}

#[tokio::test]
async fn a_call_that_is_canceled_ends_at_once_and_its_handler_is_told() {
    let (tell, mut told) = reports();
    let unary = move |ctx: Context, _| {
        let tell: Tell<String> = tell.clone();
        async move {
            tell.tell("begun".to_owned());
            tell.tell(brief(&ctx.canceled().await.into()));
            Ok(resp("", 0))
        }
    };
    let peer = Peer::start(Handlers::default().unary(unary)).await;
    let (ctx, canceler) = Context::background().with_cancel();
    let client = peer.client();
    let call = tokio::spawn(async move { client.unary(&ctx, req("", 0)).await });
    assert_eq!(told.next().await, "begun");
    canceler.cancel();
    assert_eq!(ended(&soon(call).await.unwrap()), "12007 client");
    assert_eq!(told.next().await, "12013 nowhere", "a call has nothing but its connection to tell by");
}

/// A regression test of Kitex's: what a handler opened ends when the handler returns, 12012.
#[tokio::test]
async fn what_a_handler_opened_ends_when_it_returns() {
    let (tell, mut told) = reports();
    let mut chain = Chain::of(&["ServiceC"]).await;
    let next = crate::fixture::chain::client("ServiceC", &chain.first().address);
    let (returned, returns) = watch::channel(false);
    let handlers = Handlers::default().down(move |ctx, req, stream| {
        let (next, tell, mut returns) = (next.clone(), tell.clone(), returns.clone());
        async move {
            let mut answers = next.down(&ctx, req).await?;
            let first = answers.recv().await?.expect("the next service answers");
            let (late, keeps) = (tell.clone(), stream.clone());
            tokio::spawn(async move {
                late.tell(ended(&answers.recv().await));
                late.tell(brief(&ctx.canceled().await.into()));
                returns.wait_for(|returned| *returned).await.unwrap();
                late.tell(ended(&keeps.send(&resp("late", 0)).await));
                late.tell(ended(&keeps.send_header()));
            });
            stream.send(&first).await
        }
    });
    let peer = Peer::start(handlers).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    assert_eq!(told.next().await, "12012 client", "the stream that the handler opened");
    assert_eq!(told.next().await, "12012 server", "its context");
    returned.send_replace(true);
    assert_eq!(told.next().await, "12012 server", "its own stream, in hands that it left it in");
    assert_eq!(told.next().await, "12012 server");
    assert_eq!(chain.parts(1).await, [("ServiceC".to_owned(), "12012 server ServiceB".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_races_the_end_leaves_one_outcome() {
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
async fn a_thousand_streams_of_one_context_end_with_one_word() {
    let (tell, mut told) = reports();
    let peer = Peer::start(crate::fixture::chain::idle(tell)).await;
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
        assert_eq!(told.next().await.1, "12007 server ServiceA");
    }
    for stream in &mut streams {
        assert_eq!(ended(&soon(stream.recv()).await), "12007 client");
    }
    drop(streams);
    until(|| client.pool_stats().streams == 0).await;
}
