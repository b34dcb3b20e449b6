//! Cancels: the error at each hop, and that the work stops.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat::model::{Model, Reply};
use chat::proto::Proto;
use chat::service::Transcripts;
use chat::user::{Stop, Wish, ask};
use futures_util::{StreamExt, stream};
use kitex::{Code, Side};
use tokio::sync::Notify;

use crate::{Running, model, seen, within};

#[tokio::test]
async fn a_cancel_reaches_each_hop_with_code_and_cancel_path() {
    let rows = [(Proto::Tt, 1), (Proto::Tt, 5), (Proto::Tt, 30), (Proto::Grpc, 5), (Proto::Mixed, 5)];
    for (proto, stop_after) in rows {
        let mut chain = Running::over(proto, model()).await;
        let (outcome, text) = chain.ask("why is the sky blue?", Some(stop_after)).await;
        let cancel = outcome.cancel.expect("a cancel");
        assert_eq!((cancel.why, outcome.report.tokens), (Stop::Enough, stop_after));
        assert_eq!(seen(&outcome.report), (Some(Code::CANCELED), Some(Side::Client), None));
        assert_eq!(text, first(stop_after).await);
        assert_hops(&mut chain, stop_after).await;
    }
}

/// Returns the first tokens of the model's reply.
async fn first(tokens: u64) -> String {
    let reply = model().reply("why is the sky blue?").map(|token| token.expect("no error"));
    within(reply.take(usize::try_from(tokens).expect("a number")).collect()).await
}

/// Checks that gateway, agent and model were canceled by the user, each with the path of those before it.
async fn assert_hops(chain: &mut Running, tokens: u64) {
    let [gateway, agent, model] = chain.hops().await;
    let (canceled, path) = (Some(Code::CANCELED), |path: &str| Some(path.to_owned()));
    assert_eq!(seen(&gateway), (canceled, Some(Side::Client), path("user")));
    assert_eq!(seen(&agent), (canceled, Some(Side::Client), path("user -> gateway")));
    assert_eq!(seen(&model), (canceled, Some(Side::Server), path("user -> gateway -> agent")));
    assert!(gateway.tokens >= tokens && agent.tokens >= gateway.tokens && model.tokens >= agent.tokens);
    assert_eq!(model.work.expect("the model's").late, 0, "tokens after the cancel");
}

#[tokio::test]
async fn an_interrupt_cancels_a_reply_before_its_first_token() {
    let asked = Arc::new(Notify::new());
    let mut chain = Running::start(Silent(asked.clone())).await;
    let interrupt = async move { asked.notified().await };
    let (outcome, text) = chain.ask_until("hello", None, interrupt).await;
    assert_eq!((outcome.cancel.expect("a cancel").why, &*text), (Stop::Interrupt, ""));
    assert_hops(&mut chain, 0).await;
}

#[tokio::test]
async fn a_closed_output_cancels_the_reply() {
    let mut chain = Running::start(model()).await;
    let broken = |_: &str| Err(io::ErrorKind::BrokenPipe.into());
    let wish = Wish { prompt: "hello".into(), stop_after: None };
    let outcome = within(ask(&chain.gateway, wish, std::future::pending(), broken)).await;
    assert_eq!(outcome.cancel.expect("a cancel").why, Stop::NobodyReads);
    assert_hops(&mut chain, 0).await;
}

#[tokio::test]
async fn a_cancel_ends_one_of_many_replies_only() {
    let mut chain = Running::start(model()).await;
    let (first, second, _) = tokio::join!(
        chain.ask("why is the sky blue?", None),
        chain.ask("why is the sky blue?", None),
        chain.ask("why is the sky blue?", Some(3)),
    );
    assert!(first.0.report.ended.is_ok() && second.0.report.ended.is_ok());
    assert_eq!(first.1, second.1);
    assert_hops(&mut chain, 3).await;
}

/// Counts every token that is polled, independently of the service under test.
#[tokio::test]
async fn a_cancel_stops_an_endless_model() {
    let made = Arc::new(AtomicU64::new(0));
    let model = Arc::new(Endless(made.clone()));
    let mut chain = Running::with(model, Transcripts::none(), u64::MAX).await;
    let (outcome, _) = chain.ask("hello", Some(10)).await;
    assert_eq!((seen(&outcome.report).0, outcome.report.tokens), (Some(Code::CANCELED), 10));
    let [.., model] = chain.hops().await;
    assert_eq!(seen(&model).2.as_deref(), Some("user -> gateway -> agent"));
    assert_eq!(model.work.expect("the model's").late, 0);
    // No task is left that could poll for another token.
    assert_eq!(Arc::strong_count(&made), 2, "the test and the model itself");
    assert_eq!(made.load(Ordering::Relaxed), model.tokens);
}

#[tokio::test]
async fn the_agents_token_limit_cancels_the_model_only() {
    let mut chain = Running::with(Arc::new(model()), Transcripts::none(), 20).await;
    let (outcome, _) = chain.ask("why is the sky blue?", None).await;
    assert!(outcome.report.ended.is_ok() && outcome.cancel.is_none() && outcome.at_limit, "{outcome:?}");
    let [gateway, agent, model] = chain.hops().await;
    assert!(gateway.ended.is_ok() && agent.ended.is_ok());
    assert_eq!([outcome.report.tokens, gateway.tokens, agent.tokens], [20; 3]);
    assert_eq!(seen(&model), (Some(Code::CANCELED), Some(Side::Server), Some("agent".into())));
    assert_eq!(model.work.expect("the model's").late, 0);
}

/// Notifies that it was polled, and returns no token.
struct Silent(Arc<Notify>);

impl Model for Silent {
    fn name(&self) -> &str {
        "silence"
    }

    fn reply(&self, _: &str) -> Reply {
        self.0.notify_one();
        stream::pending().boxed()
    }
}

/// Returns tokens without end, as fast as it is polled.
struct Endless(Arc<AtomicU64>);

impl Model for Endless {
    fn name(&self) -> &str {
        "endless"
    }

    fn reply(&self, _: &str) -> Reply {
        let made = self.0.clone();
        stream::repeat_with(move || Ok(format!(" {}", made.fetch_add(1, Ordering::Relaxed)))).boxed()
    }
}
