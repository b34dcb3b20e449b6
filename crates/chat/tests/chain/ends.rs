//! Replies that complete or fail by themselves.

use chat::model::{Model, ModelError, Reply};
use chat::next::Next;
use chat::report::Reports;
use chat::service::{AGENT, Agent, DEFAULT_LIMIT, GATEWAY, Gateway, MODEL, USER, server};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;

use crate::{Running, model, within};

#[tokio::test]
async fn a_reply_arrives_as_the_model_wrote_it() {
    let prompt = "why is the sky blue?";
    let written = model().reply(prompt).map(|token| token.expect("no error")).collect::<Vec<_>>();
    let written = within(written).await;
    let mut chain = Running::start(model()).await;
    // Whitespace around the prompt is not part of the question.
    let (outcome, text) = chain.ask(&format!("  {prompt}\r\n"), None).await;
    assert_eq!(text, written.concat());
    assert!(outcome.report.ended.is_ok() && outcome.cancel.is_none() && !outcome.at_limit);
    assert!(outcome.first.expect("a token") <= outcome.took);
    let tokens = u64::try_from(written.len()).expect("a number");
    for hop in chain.hops().await {
        assert!(hop.ended.is_ok() && hop.tokens == tokens, "{hop:?}");
    }
}

#[tokio::test]
async fn a_complete_reply_before_the_cancel_is_not_a_failure() {
    for words in [3, 5] {
        // The model is complete long before its first token is shown.
        let mut chain = Running::start(Words(words, None)).await;
        let (outcome, text) = chain.ask("hello", Some(3)).await;
        assert_eq!((outcome.report.tokens, &*text), (3, " word word word"));
        assert!(outcome.cancel.is_some() && outcome.report.ended.is_ok());
        assert!(outcome.failure(&chain.gateway).is_none());
        let [.., model] = chain.hops().await;
        assert!(model.ended.is_ok());
    }
}

#[tokio::test]
async fn an_invalid_prompt_is_refused_in_one_line() {
    let long = "x".repeat(20_000);
    let rows = [
        ("", "nothing was asked: give a prompt"),
        (" \n\u{7}", "nothing was asked: give a prompt"),
        (&*long, "the prompt has 20000 bytes: give one of 16384 at most"),
    ];
    for (prompt, line) in rows {
        let chain = Running::start(model()).await;
        let (outcome, text) = chain.ask(prompt, None).await;
        assert_eq!((outcome.failure(&chain.gateway).as_deref(), &*text), (Some(line), ""));
    }
}

#[tokio::test]
async fn a_model_error_is_shown_to_the_user() {
    let message = "no\nmore\u{1b}[31mwords".to_owned();
    let line =
        "the model ended its reply with an error (no more [31mwords): ask again, or check OPENAI_MODEL";
    for words in [0, 2] {
        let mut chain =
            Running::start(Words(words, Some(ModelError::Reply { message: message.clone() }))).await;
        let (outcome, text) = chain.ask("hello", None).await;
        assert_eq!(outcome.failure(&chain.gateway).as_deref(), Some(line));
        assert_eq!(text, " word".repeat(words));
        for hop in chain.hops().await {
            let error = hop.ended.expect_err("failed");
            assert!(error.biz().is_some() && !error.is_canceled(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_model_panic_is_shown_to_the_user() {
    let mut chain = Running::start(Panics).await;
    let (outcome, text) = chain.ask("hello", None).await;
    let line = outcome.failure(&chain.gateway).expect("a failure");
    assert!(line.starts_with("agent got no whole reply from model at 127.0.0.1:"), "{line}");
    assert!(line.contains("a model that panics"), "{line}");
    assert_eq!(text, "so far");
    let [.., model] = chain.hops().await;
    assert_eq!((model.tokens, model.work.expect("the model's").bytes), (1, 6));
}

#[tokio::test]
async fn an_unreachable_service_is_named_with_advice() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nowhere = free.local_addr().expect("bound").to_string();
    drop(free);
    let gateway = Next::new(USER, GATEWAY, &nowhere).expect("an address");
    assert_eq!(failure(&gateway).await, unreachable(USER, GATEWAY, &nowhere));

    let (reports, _listener) = Reports::channel();
    let model = Next::new(AGENT, MODEL, &nowhere).expect("an address");
    let agent = Agent::new(model, DEFAULT_LIMIT, reports.clone());
    let agent = server(AGENT, agent).bind("127.0.0.1:0").await.expect("a free port");
    let next = Next::new(GATEWAY, AGENT, &agent.local_addr().to_string()).expect("an address");
    let door = server(GATEWAY, Gateway::new(next, reports)).bind("127.0.0.1:0").await.expect("a free port");
    let gateway = Next::new(USER, GATEWAY, &door.local_addr().to_string()).expect("an address");
    tokio::spawn(agent.serve());
    tokio::spawn(door.serve());
    assert_eq!(failure(&gateway).await, unreachable(AGENT, MODEL, &nowhere));
}

async fn failure(gateway: &Next) -> String {
    let wish = chat::user::Wish { prompt: "hello".into(), stop_after: None };
    let outcome = within(chat::user::ask(gateway, wish, std::future::pending(), |_| Ok(()))).await;
    outcome.failure(gateway).expect("a failure")
}

fn unreachable(own: &str, name: &str, address: &str) -> String {
    format!(
        "{own} cannot reach {name} at {address} (Connection refused (os error 111)): start it with \
         `chat serve {name} --addr {address}`, or correct the address"
    )
}

/// A number of words, all at once, and then an optional error.
struct Words(usize, Option<ModelError>);

impl Model for Words {
    fn name(&self) -> &str {
        "words"
    }

    fn reply(&self, _: &str) -> Reply {
        let words = std::iter::repeat_n(Ok(" word".to_owned()), self.0);
        stream::iter(words.chain(self.1.clone().map(Err)).collect::<Vec<_>>()).boxed()
    }
}

/// Writes a token, then panics.
struct Panics;

impl Model for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn reply(&self, _: &str) -> Reply {
        let first = stream::iter([Ok("so far".to_owned())]);
        first.chain(stream::once(async { panic!("a model that panics") })).boxed()
    }
}
