//! A client of OpenAI's chat completions API. Owns the request, the response and their errors; knows nothing
//! of the source of its configuration.
//!
//! Each reply has a connection of its own, which is not reused. So dropping a reply closes it, and the
//! endpoint can stop its work.

mod chunk;

use std::error::Error as _;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryFutureExt, stream};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::json;

use self::chunk::{Chunk, error_message};
use super::sse::Events;
use super::{Model, ModelError, Reply};
use crate::text::one_line;

/// The configuration of an endpoint.
pub struct OpenAiConfig {
    /// The URL above `chat/completions`, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// The endpoint's model. Default: `gpt-4o-mini`.
    pub model: String,
    /// Sent as a bearer token. Default: none.
    pub api_key: Option<String>,
    /// The timeout for the first token and between two tokens. Default: 2 minutes.
    pub max_silence: Duration,
}

impl OpenAiConfig {
    /// Returns the defaults for the endpoint at `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: "gpt-4o-mini".into(),
            api_key: None,
            max_silence: Duration::from_secs(120),
        }
    }
}

/// A model behind an OpenAI-compatible endpoint.
pub struct OpenAi {
    client: Client,
    model: String,
    name: String,
    endpoint: Endpoint,
}

impl OpenAi {
    /// Checks the configuration. Nothing is sent to the endpoint before the first reply.
    pub fn new(config: OpenAiConfig) -> Result<Self, ModelError> {
        let url = completions_url(&config.base_url)?;
        let client =
            client(&url, &config)?.build().map_err(|error| ModelError::Tls { reason: cause(&error) })?;
        let endpoint = Endpoint { shown: shown(&url), url, max_silence: config.max_silence };
        let name = format!("{} at {}", one_line(&config.model), endpoint.shown);
        Ok(Self { client, model: config.model, name, endpoint })
    }

    fn request(&self, prompt: &str) -> RequestBuilder {
        let body = json!({
            "model": self.model,
            "stream": true,
            "messages": [{ "role": "user", "content": prompt }],
        });
        self.client.post(self.endpoint.url.clone()).body(body.to_string())
    }
}

impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn reply(&self, prompt: &str) -> Reply {
        ask(self.request(prompt), self.endpoint.clone())
            .map_ok(|answer| stream::try_unfold(answer, next_piece))
            .try_flatten_stream()
            .boxed()
    }
}

/// The facts of the endpoint, for requests and for errors.
#[derive(Clone)]
struct Endpoint {
    url: Url,
    shown: String,
    max_silence: Duration,
}

/// A response that is being read.
struct Answer {
    response: Response,
    events: Events,
    finished: bool,
    endpoint: Endpoint,
}

/// Sends the request and checks the head of the response.
async fn ask(request: RequestBuilder, endpoint: Endpoint) -> Result<Answer, ModelError> {
    let response = request.send().await.map_err(|error| endpoint.not_answered(&error))?;
    if response.status() != StatusCode::OK {
        return Err(endpoint.refused(response).await);
    }
    if let Some(content_type) = no_stream(&response) {
        return Err(match body_error(response).await {
            Some(message) => ModelError::Reply { message },
            None => ModelError::NotAStream { url: endpoint.shown, content_type },
        });
    }
    Ok(Answer { response, events: Events::default(), finished: false, endpoint })
}

/// Returns the next piece of text, with the rest of the response; `None` at the end of the reply.
async fn next_piece(mut answer: Answer) -> Result<Option<(String, Answer)>, ModelError> {
    Ok(answer.next().await?.map(|piece| (piece, answer)))
}

impl Answer {
    async fn next(&mut self) -> Result<Option<String>, ModelError> {
        loop {
            while let Some(data) = self.next_event()? {
                match Chunk::parse(&data) {
                    Chunk::Done => return Ok(None),
                    Chunk::Piece { text, finishes } => {
                        self.finished |= finishes;
                        if !text.is_empty() {
                            return Ok(Some(text));
                        }
                    }
                    Chunk::Error(message) => return Err(ModelError::Reply { message }),
                    Chunk::Unknown(reason) => {
                        return Err(ModelError::NotUnderstood { url: self.endpoint.shown.clone(), reason });
                    }
                }
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.events.feed(bytes),
                Ok(None) => return self.end(),
                Err(error) => return Err(self.endpoint.interrupted(&error)),
            }
        }
    }

    fn next_event(&mut self) -> Result<Option<Vec<u8>>, ModelError> {
        self.events.next_event().map_err(|_| ModelError::EventTooLarge { url: self.endpoint.shown.clone() })
    }

    /// Handles the end of the body. It is the end of the reply only after `[DONE]` (some servers omit the
    /// empty line after it), or after a finish reason (some servers never send `[DONE]`).
    fn end(&mut self) -> Result<Option<String>, ModelError> {
        self.events.feed(b"\n\n".as_slice().into());
        let last = self.next_event()?;
        let done = last.is_some_and(|data| matches!(Chunk::parse(&data), Chunk::Done));
        if done || self.finished {
            return Ok(None);
        }
        Err(ModelError::Cut { url: self.endpoint.shown.clone() })
    }
}

impl Endpoint {
    fn not_answered(&self, error: &reqwest::Error) -> ModelError {
        if error.is_timeout() && !error.is_connect() {
            return self.silent();
        }
        ModelError::Unreachable { url: self.shown.clone(), reason: cause(error) }
    }

    fn interrupted(&self, error: &reqwest::Error) -> ModelError {
        if error.is_timeout() { self.silent() } else { ModelError::Cut { url: self.shown.clone() } }
    }

    fn silent(&self) -> ModelError {
        ModelError::Silent { url: self.shown.clone(), silence: self.max_silence }
    }

    async fn refused(self, response: Response) -> ModelError {
        let status = response.status();
        let message = body_error(response)
            .await
            .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned());
        ModelError::Status { url: self.shown, status: status.as_u16(), message }
    }
}

/// Returns the content type, if it shows that the body is not a stream of events. A missing or otherwise
/// invalid one is accepted.
fn no_stream(response: &Response) -> Option<String> {
    let content_type = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let other = matches!(essence.as_str(), "application/json" | "text/html");
    other.then_some(essence)
}

/// Returns the error in a body that is not a stream. Reads a bounded part of it for a bounded time.
async fn body_error(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    let read = async {
        while body.len() < MAX_ERROR_LEN {
            let Ok(Some(bytes)) = response.chunk().await else { break };
            body.extend_from_slice(&bytes);
        }
    };
    // The part that arrived in time is used.
    let _ = tokio::time::timeout(ERROR_TIMEOUT, read.boxed()).await;
    error_message(&serde_json::from_slice(&body).ok()?)
}

fn completions_url(base_url: &str) -> Result<Url, ModelError> {
    let wrong = |reason: String| ModelError::BaseUrl { reason };
    let mut url = Url::parse(base_url.trim()).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("its scheme is {}", one_line(url.scheme()))));
    }
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(["chat", "completions"]),
        Err(()) => return Err(wrong("it has no path".into())),
    };
    Ok(url)
}

/// Returns a URL for display: without password and query, which may contain secrets.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn client(url: &Url, config: &OpenAiConfig) -> Result<ClientBuilder, ModelError> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(config.max_silence)
        .pool_max_idle_per_host(0)
        // No redirects: the key is for this endpoint only.
        .redirect(redirect::Policy::none())
        .default_headers(headers(config.api_key.as_deref())?);
    // reqwest has no cipher suite of its own here. A provider that was installed before is kept.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Without TLS the system's certificates are not needed.
    let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
    Ok(if is_loopback(url) { builder.no_proxy() } else { builder })
}

fn headers(api_key: Option<&str>) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = api_key {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| ModelError::ApiKey)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the root cause of an error: "connection refused" is more useful than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| one_line(&error.to_string()), |cause| one_line(&cause.to_string()))
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ERROR_LEN: usize = 64 * 1024;
