//! Cancels that cross transports: what each hop says, in Kitex's words, and what survives between ends of ours.

use std::time::Duration;

use kitex::client::Transport;
use kitex::server::{GrpcConfig, OnCancel, ServerBuilder};
use kitex::{Canceler, Client, Context, Error};

use super::{CANCELED_BY_A, text};
use crate::fixture::chain::Chain;
use crate::fixture::{EchoClient, Handlers, Peer, brief, ended, reports, req, resp, soon};

const GRPC: Transport = Transport::Grpc;
const TT: Transport = Transport::TtHeader;

/// The links from A to B, B to C and C to D.
const MIXES: [[Transport; 3]; 8] = [
    [GRPC, GRPC, GRPC],
    [GRPC, GRPC, TT],
    [GRPC, TT, GRPC],
    [GRPC, TT, TT],
    [TT, GRPC, GRPC],
    [TT, GRPC, TT],
    [TT, TT, GRPC],
    [TT, TT, TT],
];

type Cancel = fn(&Canceler);

/// What A does, and the code that each hop sees.
const CANCELS: &[(&str, Cancel, i32, &str)] = &[
    ("cancel", Canceler::cancel, 12007, "then invoking cancel() actively"),
    ("cause", |canceler| canceler.cancel_with_cause("user pressed stop"), 12008, "user pressed stop"),
    ("foreign", |canceler| canceler.cancel_foreign("grpc says no"), 12011, "grpc says no"),
];

#[tokio::test]
async fn code_and_path_of_a_cancel_survive_every_mix_of_transports() {
    for links in MIXES {
        let [b, c, d] = links;
        let mut chain = Chain::over(&[("ServiceB", b), ("ServiceC", c), ("ServiceD", d)]).await;
        let client = chain.first().client_with(|client| client.transport(b));
        for (what, cancel, code, _) in CANCELS {
            let (ctx, canceler) = Context::background().with_cancel();
            let mut down = client.down(&ctx, req("", 0)).await.unwrap();
            assert!(soon(down.recv()).await.unwrap().is_some(), "the chain stands");
            cancel(&canceler);
            assert_eq!(ended(&soon(down.recv()).await), format!("{code} client"), "{links:?} {what}");
            let start = if *code == 12011 { "non-ttstream path -> " } else { "" };
            let expected = [
                ("ServiceB", format!("{code} client {start}ServiceA")),
                ("ServiceC", format!("{code} client {start}ServiceA -> ServiceB")),
                ("ServiceD", format!("{code} server {start}ServiceA -> ServiceB -> ServiceC")),
            ];
            let parts = chain.parts(3).await;
            let parts: Vec<_> = parts.iter().map(|(name, end)| (&**name, end.clone())).collect();
            assert_eq!(parts, expected, "{links:?} {what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_a_cancel_and_a_deadline_survive_a_grpc_hop() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let reporter = reporter.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            reporter.send(Error::from(ctx.canceled().await));
            Ok(())
        }
    });
    let (_server, client) = super::in_memory(handlers, |server| server.on_cancel(OnCancel::Notify));
    let client = EchoClient::new(client().build().unwrap());
    for (what, cancel, code, cause) in CANCELS {
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap();
        cancel(&canceler);
        let error = reported.next().await;
        assert_eq!(error.to_string(), CANCELED_BY_A, "{what}: the text is Kitex's");
        let origin = error.grpc_status().unwrap().origin().unwrap();
        assert!(error.is_canceled() && origin.message().ends_with(cause), "{what}: {origin}");
        assert_eq!(error.code().unwrap().number(), *code, "{what}");
    }
    let ctx = Context::background().with_timeout(Duration::from_millis(300));
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    assert_eq!(ended(&soon(down.recv()).await), "12015 client");
    // The handler has a deadline of its own, which may be seen first.
    let seen = reported.next().await;
    assert!(
        brief(&seen) == "12015 server ServiceA" || seen.to_string() == "context deadline exceeded",
        "{seen}"
    );
}

/// Whether a server's and a client's ends know cancels, and what the server's handler sees then.
#[tokio::test]
async fn cancel_origin_needs_both_ends() {
    let rows = [(true, true, "12007 server ServiceA"), (true, false, "grpc 1"), (false, true, "grpc 1")];
    for (at_client, at_server, expected) in rows {
        let (reporter, mut reported) = reports();
        let handlers = crate::fixture::chain::idle(reporter);
        let config = |on| GrpcConfig::default().cancel_origin(on);
        let peer = Peer::with(handlers, |server| server.grpc(config(at_server))).await;
        let client = peer.client_with(|client| client.transport(GRPC).grpc(config(at_client)));
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap();
        canceler.cancel();
        assert_eq!(reported.next().await.1, expected, "{at_client} {at_server}");
    }
}

fn plain(server: ServerBuilder) -> ServerBuilder {
    server.grpc(GrpcConfig::default().cancel_origin(false))
}

/// What B says of its stream to C, and what C is reported, when A cancels, for the two links.
#[tokio::test]
async fn cancel_crosses_transports_with_the_text_of_kitex() {
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
        let (reporter, mut reported) = reports();
        let reporter_c = reporter.clone();
        let c = Handlers::default().down(move |ctx: Context, _, stream| {
            let reporter = reporter_c.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                reporter.send(("C", Error::from(ctx.canceled().await).to_string()));
                Ok(())
            }
        });
        let c = Peer::named("ServiceC", c, |server| plain(server).on_cancel(OnCancel::Notify)).await;
        let next = Client::builder("ServiceC")
            .address(&c.address)
            .transport(second)
            .grpc(GrpcConfig::default().cancel_origin(false))
            .build()
            .unwrap();
        let next = EchoClient::new(next);
        let b = Handlers::default().down(move |ctx: Context, req, stream| {
            let (reporter, next) = (reporter.clone(), next.clone());
            async move {
                let mut from = next.down(&ctx, req).await?;
                loop {
                    match from.recv().await {
                        Ok(Some(message)) => stream.send(&message).await?,
                        ended => {
                            reporter.send(("B", text(ended)));
                            return Ok(());
                        }
                    }
                }
            }
        });
        let b = Peer::with(b, |server| plain(server).on_cancel(OnCancel::Notify)).await;
        let (ctx, canceler) = Context::background().with_cancel();
        let client = b.client_with(|client| client.transport(first));
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        canceler.cancel();
        let mut seen = [reported.next().await, reported.next().await];
        seen.sort_unstable();
        assert_eq!(seen, [("B", at_b), ("C", at_c)], "{first:?} {second:?}");
    }
}
