//! Every Rust block of `docs/from-kitex.md` is in these files, line for line, so it compiles, and is run if possible.

mod calls;
mod server;
#[path = "../../examples/shared/mod.rs"]
mod shared;

use kitex::Context;
use shared::echo::EchoServer;
use shared::{req, serve, soon};

const PAGE: &str = include_str!("../../../../docs/from-kitex.md");
const CODE: [&str; 2] = [include_str!("calls.rs"), include_str!("server.rs")];

#[test]
fn from_kitex_page_shows_code_that_compiles() {
    let code = CODE.map(trimmed);
    let blocks = PAGE.split("```rust\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let is_present =
        |block: &[&str]| code.iter().any(|code| code.windows(block.len()).any(|found| found == block));
    let (good, bad): (Vec<_>, Vec<_>) = blocks.partition(|block| is_present(&trimmed(block)));
    assert!(bad.is_empty(), "no test compiles this:\n{}", bad.join("\n"));
    assert!(good.len() > 15, "{} blocks: the page is not read as it should be", good.len());
}

/// The lines without their indent, which is another on the page.
fn trimmed(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

#[tokio::test]
async fn from_kitex_client_calls_run() {
    let server = kitex::Server::builder("echo").observer(server::Metrics::default());
    let server = server.layer(tower_layer::layer_fn(server::Auth)).message_layer(server::Sizes);
    let address = serve(server.service(EchoServer::new(server::Handler))).await.unwrap();
    let client = calls::client(&address).unwrap();
    let ctx = Context::background();
    soon(calls::four_modes(&client, &ctx)).await.unwrap();
    soon(calls::header_and_trailer(&client, &ctx)).await.unwrap();
    soon(calls::metainfo(&client)).await.unwrap();
    assert_eq!(soon(calls::business_error(&client, &ctx)).await, Some(404));
    soon(calls::thrown(&client, &ctx)).await;
    assert!(soon(calls::cancel(&client)).await.starts_with("12007 client"));
    assert!(soon(calls::cancel_with_cause(&client)).await.starts_with("12008 client"));
    assert!(soon(calls::deadline(&client)).await.starts_with("12015 client"));
    assert_eq!(soon(calls::recv_timeout(client.as_ref(), &ctx)).await, "12014 client, no path");
    soon(calls::close_callback(&client, &ctx)).await.unwrap();
    let stream = client.down(&ctx, req("", 1)).await.unwrap();
    soon(calls::take_it_apart(stream)).await;
    for client in calls::pools(&address).unwrap() {
        soon(calls::four_modes(&client, &ctx)).await.unwrap();
    }
    for client in calls::protocols(&address).unwrap() {
        assert!(soon(client.unary(&ctx, req("hello", 0))).await.is_ok());
    }
    soon(calls::with_layers(&address)).await.unwrap();
    soon(client.as_ref().close()).await;
}

#[tokio::test]
async fn from_kitex_server_ends_on_its_shutdown_signal() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve_until(async { drop(stopped.await) }));
    drop(stop);
    soon(serving).await.unwrap().unwrap();
    // It listens on a port of its choice, so it is only compiled.
    let _ = server::run;
}
