//! The interop suite of grpc-go: its client against our server, our client against its server, and its clients of
//! health and reflection. `cargo xtask interop --suite grpc-go` builds its program and sets [`PROGRAM`].

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interop::suite::testing::TestServiceServer;
use interop::suite::{CASES, DESCRIPTORS, Suite, run};
use kitex::client::{Compression, GrpcConfig, Transport};
use kitex::server::StatusStyle;
use kitex::{Client, Server};
use kitex_grpc_services::{HEALTH_DESCRIPTORS, Health, HealthStatus, Reflection};

use crate::peer::{free_address, say};

/// Names the program of grpc-go.
const PROGRAM: &str = "GRPC_GO_PEER";

/// The program, if this run has one. If not, says so where it is seen.
pub(crate) fn program() -> Option<String> {
    let program = env::var(PROGRAM).ok().filter(|path| !path.is_empty());
    if program.is_none() {
        say(&format!("skipped: it needs the program of grpc-go, and {PROGRAM} is unset"));
    }
    program
}

/// Cases of the suite that fail on a server whose statuses are Kitex's.
const OTHER_IN_KITEX: [&str; 4] =
    ["status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service"];

/// Serves the suite; returns the address.
async fn serve(style: StatusStyle) -> String {
    let server = Server::builder("suite")
        .service(TestServiceServer::new(Suite))
        .grpc(GrpcConfig::default().status_style(style));
    let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    address
}

/// Runs a client of grpc-go. Returns what it says if it fails.
pub(crate) async fn call(program: &str, address: &str, case: &str, more: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(["client", "-addr", address, "-case", case]).args(more);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
    let output = output.expect("the program starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_grpc_go_passes_all_cases_against_our_server() {
    let Some(program) = program() else { return };
    for style in [StatusStyle::Grpc, StatusStyle::Kitex] {
        let address = serve(style).await;
        for case in CASES {
            let passes = style == StatusStyle::Grpc || !OTHER_IN_KITEX.contains(&case);
            let passed = call(&program, &address, case, &[]).await;
            assert_eq!(passed.is_ok(), passes, "{style:?} {case}: {passed:?}");
        }
    }
    let address = serve(StatusStyle::Grpc).await;
    for case in
        ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream"]
    {
        let passed = call(&program, &address, case, &["-gzip"]).await;
        assert_eq!(passed.map(drop), Ok(()), "{case} with gzip");
    }
}

/// A server of grpc-go. Killed when dropped.
pub(crate) struct Theirs {
    child: Child,
    pub(crate) address: String,
}

impl Theirs {
    /// Starts the program with more arguments.
    pub(crate) fn start(program: &str, more: &[String]) -> Self {
        let address = free_address();
        let mut command = Command::new(program);
        command.args(["server", "-addr", &address]).args(more).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child = child.expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is a pipe"))
            .read_line(&mut line)
            .expect("it is text");
        assert!(line.starts_with("listening"), "{line}");
        Self { child, address }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_passes_all_cases_against_a_server_of_grpc_go() {
    let Some(program) = program() else { return };
    let server = Theirs::start(&program, &[]);
    for compression in [None, Some(Compression::Gzip)] {
        let config = GrpcConfig::default().compression(compression);
        let client =
            Client::builder("suite").address(&server.address).transport(Transport::Grpc).grpc(config);
        let client = client.build().expect("the address is one");
        for case in CASES {
            assert_eq!(run(case, client.clone()).await, Ok(()), "{case} {compression:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_passes_all_cases_against_our_server() {
    let address = serve(StatusStyle::Grpc).await;
    let client = Client::builder("suite").address(address).transport(Transport::Grpc).build();
    let client = client.expect("the address is one");
    for case in CASES {
        assert_eq!(run(case, client.clone()).await, Ok(()), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_grpc_go_read_health_and_descriptors_and_see_a_shutdown_before_its_drain() {
    let Some(program) = program() else { return };
    let health = Health::new();
    health.set("grpc.testing.TestService", HealthStatus::Serving);
    let reflection = Reflection::of([DESCRIPTORS, HEALTH_DESCRIPTORS]).expect("generated");
    let server = Server::builder("suite")
        .service(TestServiceServer::new(Suite))
        .service(health.service())
        .service(reflection.service())
        .drain_delay(Duration::from_secs(1));
    let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
    let address = server.local_addr().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(server.serve_until(async { stopped.await.unwrap_or_default() }));
    for case in ["health", "reflection_v1", "reflection_v1alpha"] {
        assert_eq!(call(&program, &address, case, &[]).await.map(drop), Ok(()), "{case}");
    }
    let mut command = Command::new(&program);
    command.args(["client", "-addr", &address, "-case", "watch"]).stdout(Stdio::piped());
    let mut watching = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(watching.stdout.take().expect("stdout is a pipe")).lines();
    let mut line = || lines.next().expect("there is a line").expect("it is text");
    assert_eq!(line(), "SERVING");
    stop.send(()).expect("it serves");
    assert_eq!(line(), "NOT_SERVING");
    // Within the delay calls are served.
    assert_eq!(call(&program, &address, "empty_unary", &[]).await.map(drop), Ok(()), "before the drain");
    assert_eq!(line(), "ended Unavailable");
    served.await.expect("it does not panic");
    watching.wait().expect("it is our child");
}
