//! Serves stories on a port, and receives one of them until it cancels.

use outside::common::Topic;
use outside::review::ReviewServer;
use outside::story::{StoryClient, StoryServer};
use outside::{Critic, Teller};

use kitex::{Client, Context, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::builder("teller")
        .service(StoryServer::new(Teller))
        .service(ReviewServer::new(Critic))
        .bind("127.0.0.1:0")
        .await?;
    let address = server.local_addr().to_string();
    // A program that only serves calls `server.run().await`: graceful shutdown at SIGTERM or Ctrl-C.
    tokio::spawn(server.serve());

    let client = StoryClient::new(Client::builder("teller").caller("listener").address(address).build()?);
    let (ctx, canceler) = Context::background().with_cancel();
    let mut words = client.tell(&ctx, Topic { text: "once upon a time".into() }).await?;
    for _ in 0..8 {
        let Some(word) = words.recv().await? else { break };
        println!("{}", word.text);
    }
    canceler.cancel();
    let error = words.recv().await.expect_err("the stream is canceled");
    println!("canceled: {}, code {:?}", error.is_canceled(), error.code());
    client.close().await;
    Ok(())
}
