//! The client: makes one call and prints its results.

use std::time::Duration;

use clap::{Args, ValueEnum};
use kitex::{Canceler, Context, RecvTimeout, Result, ServerStreamingClient};
use serde_json::{Value, json};

use crate::dial::{Failure, Target, is_lost};
use crate::lab::{LabClient, LabPingError, Req, Resp};
use crate::line::{kind, message, now, print, strings};

/// The arguments of `lab-peer client`.
#[derive(Debug, Args)]
pub struct ClientArgs {
    #[command(flatten)]
    target: Target,
    /// The operation.
    #[arg(long, value_enum, default_value = "down")]
    what: What,
    /// Words for the handler.
    #[arg(long, default_value = "")]
    msg: String,
    /// Messages after which to cancel, or milliseconds of a timeout.
    #[arg(long, default_value_t = 3)]
    after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Unary,
    Ping,
    Up,
    Bidi,
    Down,
    Cancel,
    Cancelcause,
    Drop,
    Timeout,
    Recvtimeout,
}

/// Makes the call.
///
/// # Errors
/// The client cannot be built; there is no such server. The end of the call is printed in any case.
pub async fn run(args: ClientArgs) -> Result<(), Failure> {
    let ClientArgs { target, what, msg, after } = args;
    let client = target.client()?;
    let ctx = Context::background().with_transient("tk", "tval").with_persistent("pk", "pval");
    let ended = match what {
        What::Unary => print_response(client.unary(&ctx, request(&msg, 7)).await),
        What::Ping => ping(&client, &ctx, &msg).await,
        What::Up => print_response(up(&client, &ctx, &msg).await),
        What::Bidi => bidi(&client, &ctx, &msg).await,
        _ => down(&client, ctx, what, &msg, after).await,
    };
    // A Kitex server that reads the end of a connection may drop an Rst just before it.
    tokio::time::sleep(LINGER).await;
    match ended {
        Err(error) if is_lost(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

const LINGER: Duration = Duration::from_millis(200);

fn request(msg: &str, seq: i64) -> Req {
    Req { msg: Some(msg.to_owned().into()), seq: Some(seq), payload: None }
}

fn print_response(response: Result<Resp>) -> Result<()> {
    let (resp, err, kind) = match &response {
        Ok(resp) => (message(resp), String::new(), "other".to_owned()),
        Err(error) => (Value::Null, error.to_string(), kind(error)),
    };
    print(&json!({"ev": "client", "resp": resp, "err": err, "kind": kind}));
    response.map(drop)
}

async fn ping(client: &LabClient, ctx: &Context, msg: &str) -> Result<()> {
    let response = client.ping(ctx, request(msg, 7)).await;
    let (resp, err) = match &response {
        Ok(resp) => (message(resp), String::new()),
        Err(error) => (Value::Null, error.to_string()),
    };
    print(&json!({"ev": "client", "resp": resp, "err": err}));
    match response {
        Err(LabPingError::Other(error)) => Err(error),
        _ => Ok(()),
    }
}

const MESSAGES: i64 = 5;

async fn up(client: &LabClient, ctx: &Context, msg: &str) -> Result<Resp> {
    let mut stream = client.up(ctx).await?;
    for seq in 0..MESSAGES {
        stream.send(&request(msg, seq)).await?;
    }
    stream.close_and_recv().await
}

async fn bidi(client: &LabClient, ctx: &Context, msg: &str) -> Result<()> {
    let ended = ping_pong(client, ctx, msg).await;
    let (err, kind) = match &ended {
        Ok(()) => ("EOF".to_owned(), "eof".to_owned()),
        Err(error) => (error.to_string(), kind(error)),
    };
    print(&json!({"ev": "client", "err": err, "kind": kind}));
    ended
}

async fn ping_pong(client: &LabClient, ctx: &Context, msg: &str) -> Result<()> {
    let mut stream = client.bidi(ctx).await?;
    for seq in 0..MESSAGES {
        stream.send(&request(msg, seq)).await?;
        match stream.recv().await? {
            Some(resp) => print_response(Ok(resp))?,
            None => return Ok(()),
        }
    }
    stream.close_send();
    while stream.recv().await?.is_some() {}
    Ok(())
}

async fn down(client: &LabClient, ctx: Context, what: What, msg: &str, after: u64) -> Result<()> {
    let (ctx, canceler) = ctx.with_cancel();
    let after_ms = Duration::from_millis(after);
    let (client, ctx) = match what {
        What::Timeout => (client.clone(), ctx.with_timeout(after_ms)),
        What::Recvtimeout => (client.with_recv_timeout(RecvTimeout::new(after_ms)), ctx),
        _ => (client.clone(), ctx),
    };
    match client.down(&ctx, request(msg, 0)).await {
        Ok(stream) => receive(stream, &canceler, what, after).await,
        Err(error) => {
            print(&json!({"ev": "client", "err": error.to_string(), "kind": kind(&error), "n": 0}));
            Err(error)
        }
    }
}

async fn receive(
    mut stream: ServerStreamingClient<Resp>,
    canceler: &Canceler,
    what: What,
    after: u64,
) -> Result<()> {
    let mut received = 0;
    let ended = loop {
        if received == after && cancels(what) {
            print(&json!({"ev": "cancel", "ts": now()}));
            match what {
                What::Drop => {
                    drop(stream);
                    print(&json!({"ev": "client", "err": "", "kind": "other", "n": received}));
                    return Ok(());
                }
                What::Cancelcause => canceler.cancel_with_cause("user pressed stop"),
                _ => canceler.cancel(),
            }
        }
        match stream.recv().await {
            Ok(Some(resp)) => {
                if received == 0 {
                    print_first(&mut stream, &resp).await;
                }
                received += 1;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    print_end(&ended, received, &stream);
    ended
}

fn cancels(what: What) -> bool {
    matches!(what, What::Cancel | What::Cancelcause | What::Drop)
}

async fn print_first(stream: &mut ServerStreamingClient<Resp>, resp: &Resp) {
    let (header, herr) = match stream.header().await {
        Ok(header) => (strings(Some(&header)), String::new()),
        Err(error) => (Value::Null, error.to_string()),
    };
    print(&json!({"ev": "client", "first": message(resp), "header": header, "herr": herr}));
}

fn print_end(ended: &Result<()>, received: u64, stream: &ServerStreamingClient<Resp>) {
    let (err, kind) = match ended {
        Ok(()) => ("EOF".to_owned(), "eof".to_owned()),
        Err(error) => (error.to_string(), kind(error)),
    };
    let trailer = stream.trailer();
    let terr = if trailer.is_some() { "" } else { "stream is closed" };
    print(&json!({
        "ev": "client", "err": err, "kind": kind, "n": received, "trailer": strings(trailer.as_ref()), "terr": terr,
    }));
}
