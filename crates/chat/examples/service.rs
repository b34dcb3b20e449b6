//! The service of the README: streams the words of the question, one at a time.

use chat::api::{Chat, ChatServer, Question, Token};
use kitex::{Context, Result, Server, ServerStreamingServer};

struct Parrot;

#[kitex::async_trait]
impl Chat for Parrot {
    async fn ask(
        &self,
        ctx: Context,
        question: Question,
        stream: ServerStreamingServer<Token>,
    ) -> Result<()> {
        for word in question.prompt.split(' ').cycle() {
            stream.send(&Token { text: word.to_owned().into() }).await.inspect_err(|error| {
                // [ttstream error, code=12007] [server-side stream] [canceled path: reader] user code ...
                eprintln!("{:?} ended: {error}", ctx.method());
            })?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:7010".into());
    Ok(Server::builder("parrot").service(ChatServer::new(Parrot)).bind(&addr).await?.run().await?)
}
