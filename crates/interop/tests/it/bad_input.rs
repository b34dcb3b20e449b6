//! What a person gets wrong is told in one line on standard error, with what to do; what a stranger sends
//! harms nobody else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::cases::Recorded;
use crate::chain::Chain;
use crate::peer::Peer::Rust;
use crate::peer::{Process, free_address};

#[test]
fn wrong_words_are_told_in_one_line() {
    let rows = [
        ("client --addr 127.0.0.1", r#"address "127.0.0.1" is not host:port: it has no port"#),
        (
            "client --addr 127.0.0.1:99999",
            r#"address "127.0.0.1:99999" is not host:port: its port is not a number up to 65535"#,
        ),
        ("server --addr 127.0.0.1", "cannot listen on 127.0.0.1: it has no port: give host:port"),
        ("server --addr 127.0.0.1:0 --next here", r#"address "here" is not host:port: it has no port"#),
        (
            "client --self A,B",
            r#"service name "A,B" cannot stand in a cancel path: use 1 to 255 bytes, no comma, no control character"#,
        ),
    ];
    for (words, text) in rows {
        assert_eq!(complaint(words), (Some(1), vec![format!("lab-peer: {text}")]), "{words}");
    }
}

#[test]
fn words_that_do_not_exist_are_told_with_those_that_do() {
    let rows =
        [("client --what nonsense", "recvtimeout"), ("nonsense", "--help"), ("client --nonsense", "--help")];
    for (words, text) in rows {
        let (code, errors) = complaint(words);
        assert_eq!(code, Some(2), "{words}: {errors:?}");
        assert!(errors.join("\n").contains(text), "{words}: {errors:?}");
    }
}

#[test]
fn an_address_where_nothing_listens_is_told_in_one_line() {
    let address = free_address();
    let text = format!(
        "lab-peer: cannot connect to {address}: Connection refused (os error 111): \
         start a server there, or give the address of one with --addr"
    );
    for words in ["client --what down", "client --what unary", "client --what bidi", "lat", "slow", "hold"] {
        let words = format!("{words} --addr {address}");
        assert_eq!(complaint(&words), (Some(1), vec![text.clone()]), "{words}");
    }
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let chain = Chain::start(&[Rust]);
    let text = format!(
        "lab-peer: cannot listen on {}: Address already in use (os error 98): \
         stop the other process or choose another port",
        chain.address
    );
    assert_eq!(complaint(&format!("server --addr {}", chain.address)), (Some(1), vec![text]));
}

#[test]
fn a_server_of_something_else_is_told_in_one_line() {
    let address = serve_http();
    let advice = "check that --addr is that of a server of TTHeader, and that it is up";
    let rows = [
        (
            "client --what down",
            "[ttstream error, code=12004] [client-side stream] no TTHeader frame: magic is 0x2f31, not 0x1000",
        ),
        ("client --what unary", "remote or network error: no TTHeader frame: magic is 0x2f31, not 0x1000"),
        (
            "client --what ping --proto framed",
            "remote or network error: framed message of 1213486160 bytes exceeds the limit of 16777216",
        ),
    ];
    for (words, text) in rows {
        let words = format!("{words} --addr {address}");
        assert_eq!(complaint(&words), (Some(1), vec![format!("lab-peer: {text}: {advice}")]), "{words}");
    }
}

#[test]
fn strangers_are_told_of_and_harm_nobody() {
    let strangers: [(&[u8], &str); 2] = [
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "speaks none of TTHeader Streaming, TTHeader, framed Thrift, gRPC",
        ),
        // A TLS ClientHello, as far as it goes.
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "speaks none of TTHeader Streaming, TTHeader, framed Thrift, gRPC",
        ),
    ];
    let mut chain = Chain::start(&[Rust]);
    let words = format!("client --addr {} --what cancel --msg n=-1;delay=20 --after 50", chain.address);
    let guest = Process::start(Rust, &words);
    assert_eq!(guest.take(1).len(), 1, "{guest:?}");
    for (bytes, _) in strangers {
        let mut socket = TcpStream::connect(&chain.address).expect("the server listens");
        socket.write_all(bytes).expect("the server reads");
        // It closes, with or without a reset.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let complaints = chain.last().complaints(strangers.len());
    for ((_, text), complaint) in strangers.iter().zip(&complaints) {
        assert!(complaint.contains(text) && complaint.contains("peer=127.0.0.1:"), "{complaint}");
    }
    assert_eq!(complaints.len(), strangers.len(), "{complaints:?}");
    assert_eq!(guest.ends().lines[1]["n"], 50, "the stream that was open has gone on");
    chain.last().take(1);
    Recorded::pair().check(&mut chain, Rust, "", &["--what down --msg n=3", "--what unary --msg hello"]);
    chain.finish();
}

/// What `lab-peer` says of `words` on standard error, and its exit code.
fn complaint(words: &str) -> (Option<i32>, Vec<String>) {
    let ended = Process::start(Rust, words).ends();
    (ended.code, ended.errors)
}

/// Serves what every web server says to what is no HTTP.
fn serve_http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a client");
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // A server that closed first might be heard to close before it is heard to answer.
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    address
}
