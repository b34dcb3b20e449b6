//! Forms of addresses: the usual ones work, and invalid ones are explained before anything is dialed.

use kitex::{Client, Context, Server};

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, req, soon};

#[tokio::test]
async fn bind_to_a_port_alone_listens_on_every_interface() {
    let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
    let server = server.bind(":0").await.unwrap();
    let port = server.local_addr().port();
    assert!(server.local_addr().ip().is_unspecified());
    tokio::spawn(server.serve());
    let mut hosts = vec!["127.0.0.1"];
    // Only if the machine has IPv6.
    if tokio::net::TcpListener::bind("[::1]:0").await.is_ok() {
        hosts.push("[::1]");
    }
    for host in hosts {
        let client = Client::builder("ServiceB").address(format!("{host}:{port}")).build().unwrap();
        let answer = soon(EchoClient::new(client).unary(&Context::background(), req("", 7))).await;
        assert_eq!(answer.unwrap().seq, Some(7), "{host}");
    }
}

#[tokio::test]
async fn invalid_addresses_are_explained_by_build_and_bind() {
    let rows = [
        ("http://127.0.0.1:80", "it is a URL: leave out the scheme and the path"),
        ("127.0.0.1:80/path", "it has a path: leave it out"),
        (" 127.0.0.1:80", "it has a space or a control character: remove it"),
        ("127.0.0.1:80\n", "it has a space or a control character: remove it"),
        ("::1:80", "it is an IPv6 address without brackets: write [address]:port"),
        ("127.0.0.1", "it has no port"),
        ("127.0.0.1:99999", "its port is not a number up to 65535"),
        ("127.0.0.1:-1", "its port is not a number up to 65535"),
        ("127.0.0.1:http", "its port is not a number up to 65535"),
        ("127.0.0.1:", "its port is not a number up to 65535"),
        ("127.0.0.1:80 ", "it has a space or a control character: remove it"),
        ("tcp://127.0.0.1:80", "it is a URL: leave out the scheme and the path"),
        ("https://example.com", "it is a URL: leave out the scheme and the path"),
        ("[::1]", "it has no port"),
        ("::", "it is an IPv6 address without brackets: write [address]:port"),
    ];
    for (address, text) in rows {
        let error = Client::builder("ServiceB").address(address).build().unwrap_err().to_string();
        assert_eq!(error, format!("address {address:?} is not host:port: {text}"));
        let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
        let error = server.bind(address).await.unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {address}: {text}: give host:port"));
    }
}
