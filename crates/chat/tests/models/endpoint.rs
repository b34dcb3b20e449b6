//! A fake OpenAI endpoint over real TCP, controlled by the test, which decides everything that is sent.
//! Implements the necessary part of HTTP/1.1; must not use the code under test.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A fake endpoint.
pub(crate) struct Endpoint {
    listener: TcpListener,
}

impl Endpoint {
    pub(crate) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.listener.local_addr().expect("bound"))
    }

    /// Waits for a request and reads all of it.
    pub(crate) async fn accept(&self) -> Exchange {
        let (mut socket, _) = self.listener.accept().await.expect("a connection");
        socket.set_nodelay(true).expect("a socket option");
        let (head, body) = read_request(&mut socket).await;
        Exchange { socket, head, body: serde_json::from_slice(&body).expect("a JSON body") }
    }
}

/// A request, and the connection for its response.
pub(crate) struct Exchange {
    socket: TcpStream,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Exchange {
    /// Returns the value of a header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Sends raw bytes.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("the client reads");
    }

    /// Sends the head of a response with a chunked body.
    pub(crate) async fn begin(&mut self) {
        self.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
    }

    /// Sends one chunk of the body.
    pub(crate) async fn chunk(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        if !data.is_empty() {
            self.send([format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()).await;
        }
    }

    /// Sends one chunk of `len` bytes, unless the client closes before its end.
    pub(crate) async fn flood(&mut self, len: usize) {
        self.send(format!("{len:x}\r\n")).await;
        // The client may read a part of it only.
        let _ = self.socket.write_all(&vec![b'x'; len]).await;
    }

    /// Sends the chunk that ends the body.
    pub(crate) async fn end(&mut self) {
        self.send("0\r\n\r\n").await;
    }

    /// Waits until the client closes the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 64];
        while matches!(self.socket.read(&mut rest).await, Ok(1..)) {}
    }
}

async fn read_request(socket: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let head_len = loop {
        assert_ne!(socket.read_buf(&mut bytes).await.expect("a request"), 0, "closed within a request");
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).expect("a head of text");
    let mut body = bytes.split_off(head_len);
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length: usize = length.expect("a content-length");
    while body.len() < length {
        assert_ne!(socket.read_buf(&mut body).await.expect("a request"), 0, "closed within a request");
    }
    (head, body)
}
