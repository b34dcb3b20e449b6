//! Reads the changes of one service's streams, as server-sent events. Owns the HTTP request: one of HTTP/1.0, whose answer
//! is not in chunks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::board::{Board, Service};

/// Follows a service until the future is dropped; one that is gone is tried again.
pub(crate) async fn follow(service: Service, board: Arc<Board>) {
    loop {
        let ended = read(&service, &board).await;
        let why =
            ended.err().map_or_else(|| "it has closed the connection".to_owned(), |error| error.to_string());
        board.lose(&service.name, why);
        sleep(AGAIN).await;
    }
}

async fn read(service: &Service, board: &Board) -> io::Result<()> {
    let address = &service.address;
    let mut socket = timeout(CONNECT, TcpStream::connect(address)).await??;
    let request =
        format!("GET /streams/watch HTTP/1.0\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = BufReader::new(socket);
    head(&mut answer).await?;
    let mut data = String::new();
    while let Some(line) = timeout(SILENCE, line(&mut answer)).await?? {
        if let Some(part) = line.strip_prefix("data:") {
            data.push_str(part.trim_start());
        } else if line.is_empty() && !data.is_empty() {
            let change: Value = serde_json::from_str(&std::mem::take(&mut data)).map_err(io::Error::other)?;
            board.apply(&service.name, &change);
        }
    }
    Ok(())
}

async fn head(answer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    let status = timeout(CONNECT, line(answer)).await??.unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!(
            "it has no /streams/watch: {}",
            status.get(..40).unwrap_or(&status)
        )));
    }
    while let Some(field) = timeout(CONNECT, line(answer)).await?? {
        if field.is_empty() {
            return Ok(());
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Returns the next line without its end; `None` at the end of the answer.
async fn line(answer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let len = answer.take(MAX_LINE).read_until(b'\n', &mut bytes).await?;
    if len == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') {
        return Err(io::Error::other(format!("it has sent half a line, or one above {MAX_LINE} bytes")));
    }
    let line = String::from_utf8(bytes).map_err(io::Error::other)?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(5);
/// A service that says nothing for so long is gone: it sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// Some 60,000 streams.
const MAX_LINE: u64 = 32 * 1024 * 1024;
