//! A greeter and its client, with code that `build.rs` made of `idl/greeter.thrift`. Run it: it greets
//! itself.

include!(concat!(env!("OUT_DIR"), "/greeter.rs"));

use std::{error::Error, result::Result};

use greeter::{Greeter, GreeterClient, GreeterGreetError, GreeterServer, Greeting, NoSuchName};
use kitex::{Client, Context, FastStr, Server, ServerStreamingServer, async_trait};

struct Polite;

#[async_trait]
impl Greeter for Polite {
    async fn greet(&self, _: Context, name: FastStr) -> Result<Greeting, GreeterGreetError> {
        if name.is_empty() {
            return Err(NoSuchName { name }.into());
        }
        Ok(Greeting { text: format!("hello {name}").into() })
    }

    async fn watch(
        &self,
        _: Context,
        greeting: Greeting,
        stream: ServerStreamingServer<Greeting>,
    ) -> kitex::Result<()> {
        for _ in 0..3 {
            stream.send(&greeting).await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in greet().await? {
        println!("{line}");
    }
    Ok(())
}

/// Starts a server and a client of it. Returns the received texts.
async fn greet() -> Result<Vec<String>, Box<dyn Error>> {
    let server = Server::builder("Greeter").service(GreeterServer::new(Polite)).bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());

    let client = GreeterClient::new(Client::builder("Greeter").address(address).build()?);
    let ctx = Context::background();
    let mut lines = vec![client.greet(&ctx, "world".into()).await?.text.to_string()];
    if let Err(GreeterGreetError::Missing(missing)) = client.greet(&ctx, "".into()).await {
        lines.push(format!("no such name: {:?}", missing.name));
    }
    let mut stream = client.watch(&ctx, Greeting { text: "again".into() }).await?;
    while let Some(greeting) = stream.recv().await? {
        lines.push(greeting.text.to_string());
    }
    Ok(lines)
}

#[tokio::test]
async fn the_greeter_greets_itself() {
    let lines = greet().await.unwrap();
    assert_eq!(lines, ["hello world", "no such name: \"\"", "again", "again", "again"]);
}
