//! Messages are always delivered before the error that follows them.

use interop::lab::LabClient;
use kitex::{Code, Context, Error, Result};

use crate::chain::Chain;
use crate::local::{ends, lab_client, request};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::go_is_here;

const CALLS: usize = 40;

type Expected = fn(&Error) -> bool;

#[tokio::test]
async fn messages_come_before_the_error_from_rust() {
    check(&[Rust]).await;
}

#[tokio::test]
async fn messages_come_before_the_error_through_a_chain() {
    check(&[Rust, Rust, Rust]).await;
}

#[tokio::test]
async fn messages_come_before_the_error_from_kitex() {
    if go_is_here() {
        check(&[Go]).await;
    }
}

async fn check(servers: &[Peer]) {
    let chain = Chain::start(servers);
    let client = lab_client(&chain.address);
    let rows: &[(&str, Expected)] = &[
        ("n=3;biz=404", |error| {
            error.biz().is_some_and(|biz| biz.code == 404 && biz.message == "biz says no")
        }),
        ("n=3;fail", |error| {
            error.code() == Some(Code::APPLICATION) && error.to_string().ends_with("handler failed")
        }),
    ];
    for (words, is_expected) in rows {
        let mut complete = 0;
        for _ in 0..CALLS {
            let (received, error) = ends(words, call(&client, words)).await.expect("a stream");
            assert!(is_expected(&error), "{words}: {error}");
            complete += usize::from(received == 3);
        }
        assert_eq!(complete, CALLS, "calls of {words} that brought all three messages");
    }
}

/// Returns the number of messages, and the error after them.
async fn call(client: &LabClient, words: &str) -> Result<(usize, Error)> {
    let mut stream = client.down(&Context::background(), request(words)).await?;
    let mut received = 0;
    loop {
        match stream.recv().await {
            Ok(Some(_)) => received += 1,
            Ok(None) => panic!("{words}: a clean end"),
            Err(error) => return Ok((received, error)),
        }
    }
}
