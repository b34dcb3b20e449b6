//! The client of the README: reads ten words, then cancels.

use chat::api::{ChatClient, Question};
use kitex::{Client, Context};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:7010".into());
    let client = ChatClient::new(Client::builder("parrot").caller("reader").address(addr).build()?);

    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = client.ask(&ctx, Question { prompt: "who is there?".into() }).await?;
    for _ in 0..10 {
        let Some(token) = stream.recv().await? else { break };
        println!("{}", token.text);
    }
    canceler.cancel();
    let error = stream.recv().await.expect_err("the stream is canceled");
    println!("canceled: {}, code {:?}, {error}", error.is_canceled(), error.code());
    client.close().await;
    Ok(())
}
