//! A dropped response cancels the call, with the client's disconnect as the cause.

use std::time::Duration;

use http_body_util::BodyExt;
use kitex::Context;
use kitex_sse::{Sse, cancel_on_disconnect};
use tokio::time::timeout;

use crate::generated::echo::Req;
use crate::{Lab, assert_disconnected};

#[tokio::test(start_paused = true)]
async fn a_dropped_body_cancels_the_call_as_a_disconnected_client() {
    for (words, frames) in [("a wait", 0), ("a wait", 1), ("a b c wait", 1), ("flood", 3)] {
        let mut lab = Lab::new();
        let mut body = lab.respond(Sse::new(), words).await.into_body();
        for _ in 0..frames {
            body.frame().await.expect("a frame").expect("no error");
        }
        drop(body);
        assert_disconnected(&lab.ended().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_respond_cancels_the_call_before_its_first_message() {
    let mut lab = Lab::new();
    let waited = timeout(Duration::from_secs(1), lab.respond(Sse::new(), "wait")).await;
    assert!(waited.is_err(), "no message comes");
    assert_disconnected(&lab.ended().await);
}

#[tokio::test(start_paused = true)]
async fn cancel_on_disconnect_cancels_what_its_dropped_work_has_opened() {
    let mut lab = Lab::new();
    let client = lab.client.clone();
    let work = |ctx: Context| async move {
        let request = Req { msg: Some("wait".into()), ..Req::default() };
        let mut stream = client.down(&ctx, request).await.expect("a stream");
        let _ = stream.recv().await;
    };
    let waited = timeout(Duration::from_secs(1), cancel_on_disconnect(&Context::background(), work)).await;
    assert!(waited.is_err(), "no message comes");
    assert_disconnected(&lab.ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_holds_the_call_back() {
    let mut lab = Lab::new();
    let mut body = lab.respond(Sse::new(), "flood").await.into_body();
    let sent = || lab.sent.load(std::sync::atomic::Ordering::SeqCst);
    let mut before = u64::MAX;
    // Until nothing moves any more: the windows of the stream are full.
    while before != sent() {
        before = sent();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let frame = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
    assert!(frame.len() < 32 * 1024, "{} bytes in one frame", frame.len());
    drop(body);
    let error = lab.ended().await;
    assert!(error.is_canceled() || error.kind() == kitex::ErrorKind::Refused, "{error}");
}
