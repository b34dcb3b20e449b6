//! TLS with other implementations: Kitex's gRPC client, both ends of grpc-go with mutual TLS, and the client of OpenSSL.
//! Certificates are made by each test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use interop::local::TRANSPORT;
use interop::server::{Lines, builder};
use interop::suite::testing::TestServiceServer;
use interop::suite::{CASES, Suite, run};
use kitex::client::{GrpcConfig, Transport};
use kitex::server::StatusStyle;
use kitex::tls::{ClientTls, Identity, Roots, ServerTls};
use kitex::{Client, Server};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

use crate::grpc_go::{Theirs, call, program};
use crate::peer::{Peer, Process, go_is_here, say};

/// A folder with `ca.pem`, `cert.pem` and `key.pem`, of which the certificate is for the loopback address. Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("interop-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for self-signed.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority");
        let (ca_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let ca = params.self_signed(&ca_key).expect("a CA").pem();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let own = own.signed_by(&key, &Issuer::new(params, ca_key)).expect("a certificate").pem();
        for (file, pem) in [("ca.pem", ca), ("cert.pem", own), ("key.pem", key.serialize_pem())] {
            fs::write(folder.join(file), pem).expect("a file");
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    fn identity(&self) -> Identity {
        Identity::from_files(self.path("cert.pem"), self.path("key.pem")).expect("written by this test")
    }

    fn roots(&self) -> Roots {
        Roots::from_file(self.path("ca.pem")).expect("written by this test")
    }

    /// The TLS of a server that requires certificates of its clients.
    fn mutual(&self) -> ServerTls {
        ServerTls::builder(self.identity())
            .client_roots(self.roots())
            .build()
            .expect("a key of its certificate")
    }

    /// The arguments of the program of grpc-go.
    fn words(&self) -> [String; 6] {
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|file| self.path(file));
        ["-ca".to_owned(), ca, "-cert".to_owned(), cert, "-key".to_owned(), key]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the client does and says.
const CALLS: [&str; 7] = [
    "--what ping --msg hi",
    "--what unary --msg hi",
    "--what up",
    "--what bidi",
    "--what down --msg count=20;hdr=1",
    "--what down --msg biz=404",
    "--what cancel --msg count=1000;delay=2 --after 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_kitexs_grpc_client_changes_nothing_that_it_sees() {
    if !go_is_here() {
        return;
    }
    let folder = Folder::new("kitex-tls");
    let plain = builder("ServiceB", None, Lines::Silent, &TRANSPORT);
    let tls = ServerTls::builder(folder.identity()).build().expect("a key of its certificate");
    let secure = builder("ServiceB", None, Lines::Silent, &TRANSPORT).tls(tls);
    let mut addresses = Vec::new();
    for server in [plain, secure] {
        let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
        addresses.push(server.local_addr().to_string());
        tokio::spawn(server.serve());
    }
    for what in CALLS {
        let lines = |address: &str, more: &str| {
            let client =
                Process::start(Peer::Go, &format!("client --proto grpc --addr {address} {what} {more}"));
            client.ends().lines
        };
        let expected = lines(&addresses[0], "");
        let found = lines(&addresses[1], &format!("--ca {}", folder.path("ca.pem")));
        assert!(!expected.is_empty(), "{what}");
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_of_grpc_go_passes_all_cases_over_mutual_tls() {
    let Some(program) = program() else { return };
    let folder = Folder::new("grpc-go-client-tls");
    let server = Server::builder("suite").service(TestServiceServer::new(Suite)).tls(folder.mutual());
    let server = server.grpc(GrpcConfig::default().status_style(StatusStyle::Grpc));
    let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let words = folder.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for case in CASES {
        assert_eq!(call(&program, &address, case, &words).await.map(drop), Ok(()), "{case}");
    }
    assert!(call(&program, &address, CASES[0], &[]).await.is_err(), "plaintext");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_passes_all_cases_over_mutual_tls_against_a_server_of_grpc_go() {
    let Some(program) = program() else { return };
    let folder = Folder::new("grpc-go-server-tls");
    let server = Theirs::start(&program, &folder.words());
    let tls = ClientTls::builder(folder.roots()).identity(folder.identity()).build();
    let client = Client::builder("suite").address(&server.address).transport(Transport::Grpc);
    let client = client.tls(tls.expect("a key of its certificate")).build().expect("the address is one");
    for case in CASES {
        assert_eq!(run(case, client.clone()).await, Ok(()), "{case}");
    }
}

/// Runs a client of OpenSSL that sends nothing. Returns `None` if there is no such program.
fn s_client(address: &str, words: &[&str]) -> Option<Output> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address]).args(words).stdin(Stdio::null());
    command.output().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn client_of_openssl_agrees_on_versions_certificates_and_alpn() {
    let folder = Folder::new("openssl");
    let tls = ServerTls::builder(folder.identity()).build().expect("a key of its certificate");
    let server = Server::builder("suite").service(TestServiceServer::new(Suite)).tls(tls);
    let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let ca = folder.path("ca.pem");
    let trusting = ["-CAfile", &*ca, "-verify_return_error", "-verify_ip", "127.0.0.1"];
    // More arguments, and a text of the output; none if the handshake fails.
    let rows: [(&[&str], Option<&str>); 7] = [
        (&["-tls1_3", "-alpn", "h2"], Some("ALPN protocol: h2")),
        (&["-tls1_2", "-alpn", "h2"], Some("ALPN protocol: h2")),
        (&["-tls1_3", "-alpn", "http/1.1,h2"], Some("ALPN protocol: h2")),
        (&["-tls1_3"], Some("No ALPN negotiated")),
        (&["-tls1_3"], Some("Verify return code: 0 (ok)")),
        (&["-tls1_3", "-alpn", "http/1.1"], None),
        (&["-tls1_1"], None),
    ];
    for (more, expected) in rows {
        let words = [&trusting[..], more].concat();
        let address = address.clone();
        let (of_task, words_of_task) =
            (address.clone(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let run = tokio::task::spawn_blocking(move || {
            let words: Vec<&str> = words_of_task.iter().map(String::as_str).collect();
            s_client(&of_task, &words)
        });
        let Some(output) = run.await.expect("it does not panic") else {
            return say("skipped: there is no openssl");
        };
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        match expected {
            Some(expected) => {
                assert!(output.status.success() && text.contains(expected), "{words:?}: {text}");
            }
            None => assert!(!output.status.success(), "{words:?}: {text}"),
        }
    }
}
