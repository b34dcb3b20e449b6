//! tokio's paused clock: timers and what they are compared with are one clock, so that a test of hours takes no time and
//! no processor.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kitex::{Context, RecvTimeout};

use crate::fixture::{Handlers, Peer, brief, req};

const HOURS: Duration = Duration::from_secs(4 * 3600);

#[tokio::test]
async fn timeouts_and_deadlines_of_hours_pass_at_once_on_a_paused_clock() {
    let handlers = Handlers::default().down(|ctx, _, stream| async move {
        stream.send(&crate::fixture::resp("", 0)).await?;
        Err(ctx.canceled().await.into())
    });
    let peer = Peer::start(handlers).await;
    let plain = peer.client_with(|client| client.idle_timeout(100 * HOURS));
    let waiting = RecvTimeout { timeout: HOURS, disable_cancel_remote: false };
    let impatient = peer.client_with(|client| client.idle_timeout(100 * HOURS).recv_timeout(waiting));
    for (what, expected) in [("recv timeout", "12014 client"), ("deadline", "12015 client")] {
        let (client, ctx) = match what {
            "deadline" => (&plain, Context::background().with_timeout(HOURS)),
            _ => (&impatient, Context::background()),
        };
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert!(down.recv().await.unwrap().is_some());
        // What has been sent is delivered before the clock stops: then only timers move.
        tokio::time::pause();
        let (began, at) = (Instant::now(), tokio::time::Instant::now());
        assert!(ctx.canceled().now_or_never().is_none(), "{what}: not before its time");
        let error = down.recv().await.unwrap_err();
        assert_eq!(brief(&error).split(' ').take(2).collect::<Vec<_>>().join(" "), expected, "{what}");
        assert!(at.elapsed() >= HOURS - Duration::from_secs(60), "{what}: {:?}", at.elapsed());
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {:?}", began.elapsed());
        tokio::time::resume();
    }
}
