//! Shared by the examples: the generated code of `idl/echo.thrift`, a server on a free port, and short texts for errors.

#[allow(dead_code, reason = "no example needs all of it")]
#[path = "../generated/echo.rs"]
mod generated;

use std::error::Error as StdError;
use std::time::Duration;

use kitex::server::ServerBuilder;
use kitex::{Error, Side};

pub(crate) use generated::echo;
pub(crate) use generated::echo::{Req, Resp};

/// How an example ends: well, or with what was not so.
pub(crate) type Ended = Result<(), Box<dyn StdError + Send + Sync>>;

/// Serves on a free loopback port for as long as the example runs; gives the address.
#[allow(dead_code, reason = "some examples bind their server themselves")]
pub(crate) async fn serve(server: ServerBuilder) -> Result<String, kitex::server::BindError> {
    let server = server.bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    Ok(address)
}

/// A request.
pub(crate) fn req(msg: &str, seq: i64) -> Req {
    Req { msg: Some(msg.to_owned().into()), seq: Some(seq), payload: None }
}

/// An answer.
pub(crate) fn resp(msg: &str, seq: i64) -> Resp {
    Resp { msg: Some(msg.to_owned().into()), seq: Some(seq), payload: None }
}

/// Code, side and path of an error: `12007 server, path user -> gateway`; what is no end of a stream, in
/// its own words.
#[allow(dead_code, reason = "not every example ends a stream badly")]
pub(crate) fn brief(error: &Error) -> String {
    let Some(error) = error.stream() else { return error.to_string() };
    let side = match error.side() {
        Some(Side::Client) => "client",
        Some(Side::Server) => "server",
        None => "no side",
    };
    let path = error.path().map_or_else(|| "no path".to_owned(), |path| format!("path {path}"));
    format!("{} {side}, {path}", error.code())
}

/// Waits for what is to happen, and fails rather than hangs.
#[allow(dead_code, reason = "some examples wait for nothing but their streams")]
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), event).await.expect("what is awaited never happened")
}
