//! A user's mistakes are reported in one line on standard error, with how to correct them; clients of other
//! protocols affect no other connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::cases::Recorded;
use crate::chain::Chain;
use crate::peer::Peer::Rust;
use crate::peer::{Process, free_address};

#[test]
fn invalid_arguments_are_reported_in_one_line() {
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
        assert_eq!(failure_of(words), (Some(1), vec![format!("lab-peer: {text}")]), "{words}");
    }
}

#[test]
fn unknown_arguments_are_reported_with_the_known_ones() {
    let rows =
        [("client --what nonsense", "recvtimeout"), ("nonsense", "--help"), ("client --nonsense", "--help")];
    for (words, text) in rows {
        let (code, errors) = failure_of(words);
        assert_eq!(code, Some(2), "{words}: {errors:?}");
        assert!(errors.join("\n").contains(text), "{words}: {errors:?}");
    }
}

#[test]
fn connection_refused_is_reported_in_one_line() {
    let address = free_address();
    let text = format!(
        "lab-peer: cannot connect to {address}: Connection refused (os error 111): \
         start a server there, or give the address of one with --addr"
    );
    for words in ["client --what down", "client --what unary", "client --what bidi", "lat", "slow", "hold"] {
        let words = format!("{words} --addr {address}");
        assert_eq!(failure_of(&words), (Some(1), vec![text.clone()]), "{words}");
    }
}

#[test]
fn a_port_in_use_is_reported_in_one_line() {
    let chain = Chain::start(&[Rust]);
    let text = format!(
        "lab-peer: cannot listen on {}: Address already in use (os error 98): \
         stop the other process or choose another port",
        chain.address
    );
    assert_eq!(failure_of(&format!("server --addr {}", chain.address)), (Some(1), vec![text]));
}

#[test]
fn a_server_of_another_protocol_is_reported_in_one_line() {
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
        assert_eq!(failure_of(&words), (Some(1), vec![format!("lab-peer: {text}: {advice}")]), "{words}");
    }
}

#[test]
fn clients_of_other_protocols_are_logged_and_affect_no_other_connection() {
    let others: [(&[u8], &str); 2] = [
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "speaks none of TTHeader Streaming, TTHeader, framed Thrift, gRPC",
        ),
        // The start of a TLS ClientHello.
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "speaks TLS, which this server does not use; it speaks TTHeader Streaming, TTHeader, framed Thrift, gRPC",
        ),
    ];
    let mut chain = Chain::start(&[Rust]);
    let words = format!("client --addr {} --what cancel --msg n=-1;delay=20 --after 50", chain.address);
    let guest = Process::start(Rust, &words);
    assert_eq!(guest.take(1).len(), 1, "{guest:?}");
    for (bytes, _) in others {
        let mut socket = TcpStream::connect(&chain.address).expect("the server listens");
        socket.write_all(bytes).expect("the server reads");
        // It closes the connection, with or without a reset.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let warnings = chain.last().warnings(others.len());
    for ((_, text), warning) in others.iter().zip(&warnings) {
        assert!(warning.contains(text) && warning.contains("peer=127.0.0.1:"), "{warning}");
    }
    assert_eq!(warnings.len(), others.len(), "{warnings:?}");
    assert_eq!(guest.ends().lines[1]["n"], 50, "the open stream has continued");
    chain.last().take(1);
    Recorded::pair().check(&mut chain, Rust, "", &["--what down --msg n=3", "--what unary --msg hello"]);
    chain.finish();
}

/// Returns the exit code of `lab-peer` with `words`, and its lines on standard error.
fn failure_of(words: &str) -> (Option<i32>, Vec<String>) {
    let ended = Process::start(Rust, words).ends();
    (ended.code, ended.errors)
}

/// Serves the response of a web server to a request that is not HTTP.
fn serve_http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a client");
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // If the server closed first, the client might see the close before the response.
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    address
}
