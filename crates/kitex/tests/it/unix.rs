//! Servers and clients on Unix sockets, and with custom listeners and connectors.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kitex::client::{Connector, MemoryConnector, SystemConnector};
use kitex::server::MemoryListener;
use kitex::stream_core::BoxFuture;
use kitex::stream_core::io::Io;
use kitex::{Address, Client, Context, Server};

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, req, soon};

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = env::temp_dir().join(format!("kitex-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn socket(&self) -> String {
        self.0.join("echo.sock").display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server() -> kitex::server::ServerBuilder {
    Server::builder("ServiceB").service(EchoServer::new(Handlers::default()))
}

async fn check(client: Client) {
    let (client, ctx) = (EchoClient::new(client), Context::background());
    let mut down = client.down(&ctx, req("down", 2)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(0));
    assert_eq!(soon(client.unary(&ctx, req("unary", 2))).await.unwrap().seq, Some(2));
    client.close().await;
}

#[tokio::test]
async fn unix_socket_addresses_are_bound_and_dialed() {
    let folder = Folder::new("bind");
    let path = folder.socket();
    for address in [path.clone(), format!("unix:{path}")] {
        let bound = server().bind(&address).await.unwrap();
        assert_eq!(bound.address().to_string(), format!("unix:{path}"));
        let serving = tokio::spawn(bound.serve());
        check(Client::builder("ServiceB").address(address).build().unwrap()).await;
        // The file remains, as after a killed process; the next server replaces it.
        serving.abort();
        let _ = serving.await;
    }
}

#[tokio::test]
async fn unix_socket_that_is_in_use_is_not_taken() {
    let folder = Folder::new("in-use");
    let first = server().bind(&folder.socket()).await.unwrap();
    let error = server().bind(&folder.socket()).await.unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    drop(first);
}

#[tokio::test]
async fn listen_serves_listeners_that_are_bound_already() {
    let folder = Folder::new("listen");
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp_address = tcp.local_addr().unwrap().to_string();
    let unix = tokio::net::UnixListener::bind(folder.socket()).unwrap();
    tokio::spawn(server().listen(tcp).unwrap().serve());
    tokio::spawn(server().listen(unix).unwrap().serve());
    for address in [tcp_address, folder.socket()] {
        check(Client::builder("ServiceB").address(address).build().unwrap()).await;
    }
}

/// Resolves two names, and connects to each in another way.
#[derive(Debug)]
struct Names(MemoryConnector, String);

impl Connector for Names {
    fn connect<'a>(&'a self, address: &'a str, timeout: Duration) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(async move {
            match address {
                "memory" => self.0.connect().await,
                _ => SystemConnector.connect(&self.1, timeout).await,
            }
        })
    }
}

#[tokio::test]
async fn connector_of_the_user_makes_each_connection() {
    let (listener, connector) = MemoryListener::new();
    let bound = server().listen(listener).unwrap();
    assert!(matches!(bound.address(), Address::Memory(_)));
    tokio::spawn(bound.serve());
    let tcp = server().bind("127.0.0.1:0").await.unwrap();
    let names = || Names(connector.clone(), tcp.local_addr().to_string());
    let (one, two) = (names(), names());
    tokio::spawn(tcp.serve());
    for (name, connector) in [("memory", one), ("tcp", two)] {
        check(Client::builder("ServiceB").address(name).connector(connector).build().unwrap()).await;
    }
}
