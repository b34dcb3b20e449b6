//! Who learns what of a cancel, and that the work ends there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat::model::{Model, Reply};
use chat::service::Transcripts;
use chat::user::{Stop, Wish, ask};
use futures_util::{StreamExt, stream};
use kitex::{Code, Side};
use tokio::sync::Notify;

use crate::{Running, model, seen, within};

#[tokio::test]
async fn each_hop_learns_who_canceled_and_along_which_path() {
    for stop_after in [1, 5, 30] {
        let mut chain = Running::start(model()).await;
        let (outcome, text) = chain.ask("why is the sky blue?", Some(stop_after)).await;
        let cancel = outcome.cancel.expect("a cancel");
        assert_eq!((cancel.why, outcome.report.tokens), (Stop::Enough, stop_after));
        assert_eq!(seen(&outcome.report), (Some(Code::CANCELED), Some(Side::Client), None));
        assert_eq!(text, first(stop_after).await);
        assert_hops(&mut chain, stop_after).await;
    }
}

/// The first tokens of what the model writes.
async fn first(tokens: u64) -> String {
    let reply = model().reply("why is the sky blue?").map(|token| token.expect("no error"));
    within(reply.take(usize::try_from(tokens).expect("a number")).collect()).await
}

/// Gateway, agent and model were canceled by the user, each through those before it.
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
async fn an_interrupt_ends_a_reply_whose_first_token_never_comes() {
    let asked = Arc::new(Notify::new());
    let mut chain = Running::start(Silent(asked.clone())).await;
    let interrupt = async move { asked.notified().await };
    let (outcome, text) = chain.ask_until("hello", None, interrupt).await;
    assert_eq!((outcome.cancel.expect("a cancel").why, &*text), (Stop::Interrupt, ""));
    assert_hops(&mut chain, 0).await;
}

#[tokio::test]
async fn a_reader_that_can_show_nothing_goes_away() {
    let mut chain = Running::start(model()).await;
    let broken = |_: &str| Err(io::ErrorKind::BrokenPipe.into());
    let wish = Wish { prompt: "hello".into(), stop_after: None };
    let outcome = within(ask(&chain.gateway, wish, std::future::pending(), broken)).await;
    assert_eq!(outcome.cancel.expect("a cancel").why, Stop::NobodyReads);
    assert_hops(&mut chain, 0).await;
}

#[tokio::test]
async fn one_of_many_replies_ends_alone() {
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

/// Every token that is asked for counts, whoever asks: the service under test does not count for itself.
#[tokio::test]
async fn an_endless_model_stops() {
    let made = Arc::new(AtomicU64::new(0));
    let model = Arc::new(Endless(made.clone()));
    let mut chain = Running::with(model, Transcripts::none(), u64::MAX).await;
    let (outcome, _) = chain.ask("hello", Some(10)).await;
    assert_eq!((seen(&outcome.report).0, outcome.report.tokens), (Some(Code::CANCELED), 10));
    let [.., model] = chain.hops().await;
    assert_eq!(seen(&model).2.as_deref(), Some("user -> gateway -> agent"));
    assert_eq!(model.work.expect("the model's").late, 0);
    // Nobody is left who could ask for one more.
    assert_eq!(Arc::strong_count(&made), 2, "the test and the model itself");
    assert_eq!(made.load(Ordering::Relaxed), model.tokens);
}

#[tokio::test]
async fn the_agents_limit_ends_the_model_and_nobody_else() {
    let mut chain = Running::with(Arc::new(model()), Transcripts::none(), 20).await;
    let (outcome, _) = chain.ask("why is the sky blue?", None).await;
    assert!(outcome.report.ended.is_ok() && outcome.cancel.is_none() && outcome.at_limit, "{outcome:?}");
    let [gateway, agent, model] = chain.hops().await;
    assert!(gateway.ended.is_ok() && agent.ended.is_ok());
    assert_eq!([outcome.report.tokens, gateway.tokens, agent.tokens], [20; 3]);
    assert_eq!(seen(&model), (Some(Code::CANCELED), Some(Side::Server), Some("agent".into())));
    assert_eq!(model.work.expect("the model's").late, 0);
}

/// Says that it was asked, and nothing else.
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

/// As fast as it is asked, without end.
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
