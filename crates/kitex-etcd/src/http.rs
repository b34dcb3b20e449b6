//! The JSON gateway of etcd: one POST for each operation, and the stream of a watch. Knows the shape of a request and
//! of its errors; not what keys and values mean.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use serde_json::{Value, json};
use stream_core::client::{Connector, SystemConnector};
use tokio::time::timeout;

use crate::error::{EtcdError, shown};
use crate::socket::Socket;

/// The largest response, and the largest message of a watch, in bytes.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// The code of etcd for a token that is missing, unknown or has expired.
const UNAUTHENTICATED: i64 = 16;

/// The members of one etcd cluster.
#[derive(Debug)]
pub(crate) struct Gateway {
    endpoints: Vec<String>,
    /// Of TCP, or of TLS on it.
    connector: Arc<dyn Connector>,
    has_tls: bool,
    /// The time of one operation.
    limit: Duration,
    /// The endpoint that has answered last.
    current: AtomicUsize,
    user: Option<(String, String)>,
    token: Mutex<Option<Arc<str>>>,
}

impl Gateway {
    pub(crate) fn new(
        endpoints: Vec<String>,
        tls: Option<Arc<dyn Connector>>,
        user: Option<(String, String)>,
        limit: Duration,
    ) -> Self {
        let has_tls = tls.is_some();
        let connector = tls.unwrap_or_else(|| Arc::new(SystemConnector));
        Self {
            endpoints,
            connector,
            has_tls,
            limit,
            current: AtomicUsize::new(0),
            user,
            token: Mutex::default(),
        }
    }

    /// Performs an operation at the first endpoint that can be reached.
    pub(crate) async fn call(&self, path: &str, body: &Value) -> Result<Value, EtcdError> {
        timeout(self.limit, async {
            let response = self.send(path, body).await?;
            let limited = Limited::new(response.into_body(), MAX_RESPONSE);
            let collected = limited.collect().await.map_err(|error| EtcdError::Lost(text(&*error)))?;
            parse(&collected.to_bytes())
        })
        .await
        .unwrap_or(Err(EtcdError::Timeout))
    }

    /// Begins an operation that has a stream of results.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Result<Results, EtcdError> {
        let response = timeout(self.limit, self.send(path, body)).await.unwrap_or(Err(EtcdError::Timeout))?;
        Ok(Results { body: response.into_body(), read: BytesMut::new(), searched: 0 })
    }

    /// Sends a request, with a new token if the last one is no longer accepted.
    async fn send(&self, path: &str, body: &Value) -> Result<Response<Incoming>, EtcdError> {
        let first = self.token().await?;
        match self.send_with(path, body, first.as_deref()).await {
            Err(EtcdError::Refused { code: UNAUTHENTICATED, .. }) if first.is_some() => {
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let token = self.token().await?;
                self.send_with(path, body, token.as_deref()).await
            }
            sent => sent,
        }
    }

    /// Returns the token of the user, if there is one.
    async fn token(&self) -> Result<Option<Arc<str>>, EtcdError> {
        let Some((name, password)) = &self.user else { return Ok(None) };
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return Ok(known);
        }
        let body = json!({ "name": name, "password": password });
        let response = self.send_with("/v3/auth/authenticate", &body, None).await?;
        let collected = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
        let answer = parse(&collected.map_err(|error| EtcdError::Lost(text(&*error)))?.to_bytes())?;
        let token = answer.get("token").and_then(Value::as_str).map(Arc::<str>::from);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        Ok(token)
    }

    async fn send_with(
        &self,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Result<Response<Incoming>, EtcdError> {
        let (first, mut last) = (self.current.load(Ordering::Relaxed), EtcdError::NoEndpoint);
        for (index, endpoint) in
            self.endpoints.iter().enumerate().cycle().skip(first).take(self.endpoints.len())
        {
            match self.send_to(endpoint, path, body, token).await {
                Ok(response) => {
                    self.current.store(index, Ordering::Relaxed);
                    return accepted(response).await;
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn send_to(
        &self,
        endpoint: &str,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Result<Response<Incoming>, EtcdError> {
        let unreachable = |source| EtcdError::Unreachable { endpoint: endpoint.to_owned(), source };
        let lost = |error: hyper::Error| lost(endpoint, &error, self.has_tls);
        let limit = self.limit / 3;
        let io = timeout(limit, self.connector.connect(endpoint, limit)).await;
        let io = io.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(Socket::new(io)).await.map_err(lost)?;
        // Ends with the response's body, or when its reader is dropped.
        tokio::spawn(async move { connection.await.map_err(|error| tracing::debug!(%error, "etcd")) });
        let request = Request::post(path).header(HOST, endpoint).header(CONTENT_TYPE, "application/json");
        let request = token.into_iter().fold(request, |request, token| request.header(AUTHORIZATION, token));
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let request = request.map_err(|error| EtcdError::Protocol(error.to_string()))?;
        sender.send_request(request).await.map_err(lost)
    }
}

/// Returns the error of a connection that ended before its response.
fn lost(endpoint: &str, error: &hyper::Error, has_tls: bool) -> EtcdError {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let is_reset = source.is_some_and(|source| source.kind() == io::ErrorKind::ConnectionReset);
    let hint = match error.is_incomplete_message() || is_reset {
        false => "",
        // With TLS 1.3 a server verifies the client's certificate after the client's handshake is complete.
        true if has_tls => ": check whether it requires a certificate of this client",
        // A server with TLS closes a connection that begins with plaintext.
        true => ": check whether it requires TLS",
    };
    EtcdError::Lost(format!("{endpoint}: {}{hint}", text(error)))
}

/// Returns the texts of an error and its sources.
fn text(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Returns the response, or the error in it.
async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, EtcdError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let collected = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
    let text = collected.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    Err(refused(&value).unwrap_or_else(|| EtcdError::Protocol(format!("HTTP status {status}"))))
}

/// Returns the error that a message of etcd is.
fn refused(value: &Value) -> Option<EtcdError> {
    let text = value.get("message").or_else(|| value.get("error"))?.as_str()?;
    let code =
        value.get("code").or_else(|| value.get("grpc_code")).and_then(Value::as_i64).unwrap_or_default();
    Some(EtcdError::Refused { code, message: shown(text) })
}

fn parse(text: &[u8]) -> Result<Value, EtcdError> {
    serde_json::from_slice(text).map_err(|error| EtcdError::Protocol(error.to_string()))
}

/// The results of an operation, one JSON object a line. Dropping it ends the operation.
#[derive(Debug)]
pub(crate) struct Results {
    body: Incoming,
    read: BytesMut,
    /// Bytes at the start of `read` that have no end of a line.
    searched: usize,
}

impl Results {
    /// Returns the next result; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, EtcdError> {
        loop {
            let unsearched = self.read.get(self.searched..).unwrap_or_default();
            if let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') {
                let end = self.searched.saturating_add(end).saturating_add(1);
                let line = self.read.split_to(end);
                self.searched = 0;
                let value = parse(&line)?;
                if let Some(error) = value.get("error").and_then(refused) {
                    return Err(error);
                }
                return Ok(value.get("result").cloned());
            }
            self.searched = self.read.len();
            if self.read.len() > MAX_RESPONSE {
                return Err(EtcdError::Protocol("a message is too long".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(EtcdError::Lost(text(&error))),
                Some(Ok(frame)) => {
                    frame.data_ref().into_iter().for_each(|data| self.read.extend_from_slice(data));
                }
            }
        }
    }
}

/// Returns `bytes` as the gateway has keys and values.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Returns the bytes of a key or value.
pub(crate) fn decode(value: Option<&Value>) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value?.as_str()?).ok()
}

/// Returns a 64-bit number, which the gateway writes as a string.
pub(crate) fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    }
}
