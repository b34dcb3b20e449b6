//! Clients inside the test, where the output of a process shows too little.

use std::future::Future;

use interop::lab::{LabClient, Req};
use kitex::Client;
use kitex::client::PoolKind;

use crate::lines::PATIENCE;

/// Returns a client of the server at `address`, on one connection.
pub(crate) fn client(address: &str) -> Client {
    let client = Client::builder("ServiceB").caller("ServiceA").address(address).pool(PoolKind::Mux(1));
    client.build().expect("name and address are good")
}

pub(crate) fn lab_client(address: &str) -> LabClient {
    LabClient::new(client(address))
}

pub(crate) fn request(words: &str) -> Req {
    Req { msg: Some(words.to_owned().into()), seq: Some(0), payload: None }
}

/// Returns the result of `work`. Panics if it never ends.
pub(crate) async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, work).await;
    ended.unwrap_or_else(|_| panic!("{what} does not end"))
}
