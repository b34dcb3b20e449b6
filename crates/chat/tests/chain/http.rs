//! The gateway for browsers: what its responses are, and that a client that closes its connection ends the chain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat::http::{HttpConfig, HttpGateway, Scene};
use chat::model::{Model, Reply};
use chat::next::Next;
use chat::options::ReplyOptions;
use chat::report::{Report, Reports};
use chat::service::{AGENT, Agent, GATEWAY, MODEL, ModelService, RETRIEVER, Retriever, Transcripts, server};
use chat::telemetry::Telemetry;
use kitex::Code;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::endpoint::Endpoint;
use crate::openai::piece;
use crate::process::{Process, chat as program};
use crate::{model, within};

/// A gateway, and agent, retriever and model behind it, in one process.
struct Browsers {
    address: String,
    reports: mpsc::Receiver<Report>,
    stop: oneshot::Sender<()>,
    gateway: JoinHandle<std::io::Result<()>>,
}

const EXIT_WAIT: Duration = Duration::from_millis(200);

impl Browsers {
    async fn start(model: impl Model) -> Self {
        let (reports, listener) = Reports::channel();
        let any = "127.0.0.1:0";
        let service = ModelService::new(Arc::new(model), Transcripts::none(), reports.clone());
        let model = server(MODEL, service).bind(any).await.expect("a port");
        let retriever = server(RETRIEVER, Retriever::new(reports.clone())).bind(any).await.expect("a port");
        let next = |name, address: std::net::SocketAddr| Next::new(AGENT, name, &address.to_string());
        let agent = Agent::new(next(MODEL, model.local_addr()).expect("an address"), 1000, reports.clone());
        let agent = agent.with_retriever(next(RETRIEVER, retriever.local_addr()).expect("an address"));
        let agent = server(AGENT, agent).bind(any).await.expect("a port");
        let address = agent.local_addr().to_string();
        for server in [model, retriever, agent] {
            tokio::spawn(server.serve());
        }
        Self::before(address, reports, listener).await
    }

    /// A gateway before an agent at this address.
    async fn before(agent: String, reports: Reports, listener: mpsc::Receiver<Report>) -> Self {
        let config = HttpConfig {
            agent,
            proto: chat::proto::Proto::Tt,
            services: Vec::new(),
            model: "a model".to_owned(),
            keep_alive: Duration::from_secs(15),
            scene: Scene::default(),
            telemetry: Telemetry::of(GATEWAY).expect("a URL, if any"),
        };
        let gateway = HttpGateway::new(config, reports).expect("an address");
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("bound").to_string();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let gateway = tokio::spawn(gateway.serve(socket, stopped, EXIT_WAIT));
        Self { address, reports: listener, stop, gateway }
    }

    async fn send(&self, request: &str) -> Client {
        let mut socket = TcpStream::connect(&self.address).await.expect("connects");
        socket.write_all(request.as_bytes()).await.expect("written");
        Client { socket, read: String::new() }
    }

    async fn get(&self, path: &str) -> Client {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await
    }

    async fn post(&self, path: &str, body: &Value) -> Client {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"
        );
        self.send(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }

    /// The reports of one reply, by service. That of the retriever is left out: it may not have begun.
    async fn hops<const N: usize>(&mut self, services: [&str; N]) -> [Report; N] {
        let mut hops = Vec::new();
        while hops.len() < N {
            let hop = within(self.reports.recv()).await.expect("a report");
            if hop.service != RETRIEVER {
                hops.push(hop);
            }
        }
        services.map(|service| {
            let at = hops.iter().position(|hop| hop.service == service).expect("a report of each");
            hops.swap_remove(at)
        })
    }
}

/// A model that notifies when it is asked.
struct Asked(chat::model::Ngram, Arc<Notify>);

impl Model for Asked {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn reply(&self, prompt: &str) -> Reply {
        self.0.reply(prompt)
    }

    fn reply_with(&self, prompt: &str, options: &ReplyOptions) -> Reply {
        self.1.notify_one();
        self.0.reply_with(prompt, options)
    }
}

struct Client {
    socket: TcpStream,
    read: String,
}

impl Client {
    async fn until(&mut self, text: &str) {
        // Comments keep coming without what is awaited, so all of it is bounded.
        let seen = within(async {
            while !self.read.contains(text) {
                let mut chunk = [0; 4096];
                let len = self.socket.read(&mut chunk).await.expect("readable");
                if len == 0 {
                    return false;
                }
                self.read.push_str(&String::from_utf8_lossy(&chunk[..len]));
            }
            true
        });
        assert!(seen.await, "no {text:?} in {}", self.read);
    }

    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        within(self.socket.read_to_end(&mut rest)).await.expect("readable");
        self.read + &String::from_utf8_lossy(&rest)
    }
}

#[tokio::test]
async fn each_path_of_the_http_gateway_answers() {
    let browsers = Browsers::start(model()).await;
    let user = |text: &str| json!({"messages": [{"role": "user", "content": text}]});
    let streamed = json!({"stream": true, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3});
    let rows: [(&str, Option<Value>, &str, &[&str]); 16] = [
        ("/", None, "200", &["<!doctype html>", "content-security-policy: default-src 'self'"]),
        ("/app.js", None, "200", &["text/javascript"]),
        ("/style.css", None, "200", &["text/css"]),
        ("/scene", None, "200", &["\"scene\":false"]),
        ("/streams", None, "200", &["\"streams\":["]),
        ("/healthz", None, "200", &["ok"]),
        (
            "/chat?prompt=hello",
            None,
            "200",
            &["text/event-stream", "event: start", "event: token", "\"finish\":\"stop\""],
        ),
        ("/chat?prompt=hello&max_tokens=2", None, "200", &["\"finish\":\"limit\"", "\"tokens\":2"]),
        ("/chat?prompt=", None, "400", &["nothing was asked: give a prompt"]),
        (
            "/chat",
            Some(json!({"prompt": "hello", "chat": "me.1"})),
            "200",
            &["x-chat-id: me.1", "\"chat\":\"me.1\""],
        ),
        ("/chat", Some(json!({"prompt": "hello", "chat": "no spaces"})), "200", &["x-chat-id: http."]),
        ("/v1/models", None, "200", &["\"id\":\"chat\""]),
        (
            "/v1/chat/completions",
            Some(user("hi")),
            "200",
            &["\"finish_reason\":\"stop\"", "\"completion_tokens\":"],
        ),
        ("/v1/chat/completions", Some(streamed), "200", &["\"finish_reason\":\"length\"", "data: [DONE]"]),
        ("/v1/chat/completions", Some(user(" ")), "400", &["invalid_request_error"]),
        ("/scene/kill/model", Some(json!({})), "404", &[]),
    ];
    for (path, body, status, parts) in rows {
        let client = match &body {
            Some(body) => browsers.post(path, body).await,
            None => browsers.get(path).await,
        };
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        for part in parts {
            assert!(answer.contains(part), "{path} lacks {part}: {answer}");
        }
    }
    let form =
        "POST /scene/kill/model HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let answer = browsers.send(form).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "a body that is not said to be JSON: {answer}");
    let again = "GET /chat?prompt=hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\nlast-event-id: 7\r\n\r\n";
    let answer = browsers.send(again).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "a browser that reconnects: {answer}");
}

#[tokio::test]
async fn an_http_gateway_without_its_agent_answers_503() {
    let (reports, listener) = Reports::channel();
    // Nothing listens on the first port.
    let browsers = Browsers::before("127.0.0.1:1".to_owned(), reports, listener).await;
    for (path, body) in [
        ("/chat", json!({"prompt": "hi"})),
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "hi"}]})),
    ] {
        let answer = browsers.post(path, &body).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("gateway cannot reach agent at 127.0.0.1:1 (Connection refused"), "{answer}");
    }
}

#[tokio::test]
async fn a_closed_connection_to_the_http_gateway_ends_every_hop() {
    let body = json!({"stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut whole = body.clone();
    whole["stream"] = false.into();
    for (path, body, comes) in [
        ("/chat", json!({"prompt": "hi"}), "event: token"),
        ("/chat", json!({"prompt": "hi", "first_token_ms": 60000}), "event: start"),
        ("/v1/chat/completions", body, "\"content\":\""),
        ("/v1/chat/completions", whole, ""),
    ] {
        let asked = Arc::new(Notify::new());
        let ngram = model().with_interval(Duration::from_millis(100));
        let mut browsers = Browsers::start(Asked(ngram, asked.clone())).await;
        let mut client = browsers.post(path, &body).await;
        client.until(comes).await;
        within(asked.notified()).await;
        drop(client);
        let hops = browsers.hops(["gateway", AGENT, MODEL]).await;
        let paths = [None, Some("gateway"), Some("gateway -> agent")];
        for (hop, path) in hops.iter().zip(paths) {
            let error = hop.ended.as_ref().expect_err("canceled");
            assert_eq!(error.code(), Some(Code::INTERNAL_CANCELED), "{path:?}: {error}");
            assert!(error.to_string().ends_with("client disconnected"), "{error}");
            let path = path.map(|path| format!("non-ttstream path -> {path}"));
            assert_eq!(error.path().map(ToString::to_string), path);
        }
        assert_eq!(hops[2].work.as_ref().expect("the model's").late, 0, "tokens after the cancel");
    }
}

#[tokio::test]
async fn a_closed_connection_to_the_http_gateway_closes_the_upstream_request() {
    let endpoint = Endpoint::bind().await;
    let config = chat::model::OpenAiConfig::new(endpoint.base_url());
    let browsers = Browsers::start(chat::model::OpenAi::new(config).expect("a model")).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let mut client = browsers.post("/chat", &json!({"prompt": "hi"})).await;
        let mut exchange = within(endpoint.accept()).await;
        exchange.begin().await;
        exchange.chunk(piece("Hi")).await;
        client.until("event: token").await;
        let closed = Instant::now();
        drop(client);
        within(exchange.closed()).await;
        slowest = slowest.max(closed.elapsed());
    }
    println!("upstream requests were closed within {slowest:?}");
    // 50 ms on a quiet machine.
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
}

#[tokio::test]
async fn an_http_gateway_that_shuts_down_lets_short_replies_end_and_cancels_long_ones() {
    let mut browsers = Browsers::start(model().with_interval(Duration::from_millis(20))).await;
    let mut short = browsers.post("/chat", &json!({"prompt": "hi", "max_tokens": 3, "chat": "s.1"})).await;
    let mut long = browsers
        .post("/chat", &json!({"prompt": "hi", "length": 9000, "interval_ms": 5, "chat": "l.1"}))
        .await;
    let mut tree = browsers.get("/tree?client=l").await;
    for client in [&mut short, &mut long] {
        client.until("event: token").await;
    }
    tree.until("event: tree").await;
    browsers.stop.send(()).expect("a gateway");
    assert!(short.rest().await.contains("\"finish\":\"limit\""));
    let said = long.rest().await;
    assert!(said.contains("event: error") && said.contains("the gateway is shutting down"), "{said}");
    tree.rest().await;
    within(browsers.gateway).await.expect("no panic").expect("an end");
    assert!(browsers.reports.try_recv().is_ok());
}

#[tokio::test]
async fn a_service_lists_its_changes_and_reports_as_event_streams() {
    let words = [
        "serve",
        "model",
        "--addr",
        "127.0.0.1:0",
        "--inspect",
        "127.0.0.1:0",
        "--json",
        "--interval",
        "200",
    ];
    let mut service = Process::start(program(&words));
    let line = service.json().await;
    let (address, inspect) =
        (line["address"].as_str().expect("text"), line["inspect"].as_str().expect("text"));
    let watch = async |path: &str| {
        let mut socket = TcpStream::connect(inspect).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("written");
        let mut client = Client { socket, read: String::new() };
        client.until("text/event-stream").await;
        client
    };
    let (mut streams, mut reports) = (watch("/streams/watch").await, watch("/reports").await);
    streams.until("\"start\":true").await;
    let asked = crate::process::run(program(&["ask", "hi", "--addr", address, "--stop-after", "3"])).await;
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    streams.until("\"opened\":[{").await;
    streams.until("\"code\":12007").await;
    reports.until("\"service\":\"model\"").await;
}
