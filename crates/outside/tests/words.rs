//! A test of one service, on a network in memory and on tokio's paused clock.

use kitex::testing::Network;
use kitex::{Code, Context, Server};
use outside::Teller;
use outside::common::Topic;
use outside::story::{StoryClient, StoryServer};

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_stream_of_words() {
    let network = Network::new();
    let server = network.serve(Server::builder("teller").service(StoryServer::new(Teller))).unwrap();
    let client = StoryClient::new(network.client("teller").caller("listener").build().unwrap());

    let (ctx, canceler) = Context::background().with_cancel();
    let mut words = client.tell(&ctx, Topic { text: "once upon a time".into() }).await.unwrap();
    assert_eq!(words.recv().await.unwrap().unwrap().text, "once");
    canceler.cancel();
    assert_eq!(words.recv().await.unwrap_err().code(), Some(Code::CANCELED));
    server.shutdown().await;
}
