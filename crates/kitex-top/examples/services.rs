//! The services of the chat, to look at: `services serve model --addr 127.0.0.1:7003 --inspect 127.0.0.1:7013`.

use chat::command::Program;
use clap::Parser;

#[tokio::main]
async fn main() -> Result<(), chat::command::Failure> {
    Program::parse().run().await.map(|_| ())
}
