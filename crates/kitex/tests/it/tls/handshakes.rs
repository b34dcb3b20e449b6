//! Handshakes that succeed and that fail: a failure is the error of that call, and its text names what to change.

use kitex::tls::{ClientTls, PeerCertificates, Roots, ServerTls, ServerTlsBuilder};
use kitex::{ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::certificates::{Authority, Valid};
use super::{HOST, KINDS, TRANSPORTS, call, client, text};
use crate::fixture::{Handlers, Peer, reports, resp, soon};

/// What both ends are configured with.
struct Setting {
    trusted: Authority,
    other: Authority,
}

type Server = fn(&Setting) -> ServerTlsBuilder;
type Client = fn(&Setting) -> ClientTls;

fn named(setting: &Setting, names: &[&str], valid: Valid) -> ServerTlsBuilder {
    ServerTls::builder(setting.trusted.issue(names, valid).identity())
}

fn usual(setting: &Setting) -> ServerTlsBuilder {
    named(setting, &[HOST], Valid::Now)
}

fn mutual(setting: &Setting) -> ServerTlsBuilder {
    usual(setting).client_roots(setting.trusted.roots())
}

fn plain(setting: &Setting) -> ClientTls {
    ClientTls::builder(setting.trusted.roots()).build().unwrap()
}

fn of_client(setting: &Setting, by: &Authority, valid: Valid) -> ClientTls {
    let identity = by.issue(&["client.example"], valid).identity();
    ClientTls::builder(setting.trusted.roots()).identity(identity).build().unwrap()
}

/// The server's TLS, the client's, and words of how each call ends.
const HANDSHAKES: &[(&str, Server, Client, &str)] = &[
    ("a certificate for the address", usual, plain, "ok"),
    (
        "a certificate for a fixed name",
        |setting| named(setting, &["model.example"], Valid::Now),
        |setting| ClientTls::builder(setting.trusted.roots()).server_name("model.example").build().unwrap(),
        "ok",
    ),
    (
        "a certificate for the name of the address",
        |setting| named(setting, &["model.example"], Valid::Now),
        |setting| {
            let name = |address: &str| address.starts_with(HOST).then(|| "model.example".to_owned());
            ClientTls::builder(setting.trusted.roots()).server_name_by(name).build().unwrap()
        },
        "ok",
    ),
    ("mutual TLS", mutual, |setting| of_client(setting, &setting.trusted, Valid::Now), "ok"),
    (
        "no client certificate, which is optional",
        |setting| mutual(setting).optional_client_certificate(),
        plain,
        "ok",
    ),
    ("plaintext allowed, and TLS used", |setting| usual(setting).allow_plaintext(), plain, "ok"),
    (
        "wrong name",
        |setting| named(setting, &["model.example"], Valid::Now),
        plain,
        "the server's certificate is for model.example, not for 127.0.0.1: issue it for that name",
    ),
    (
        "a function of names that panics",
        usual,
        |setting| {
            ClientTls::builder(setting.trusted.roots()).server_name_by(|_| panic!("oh")).build().unwrap()
        },
        "panic: [happened in the function of server names] oh",
    ),
    (
        "a function of names that returns none that is valid",
        usual,
        |setting| {
            ClientTls::builder(setting.trusted.roots())
                .server_name_by(|_| Some("a b".into()))
                .build()
                .unwrap()
        },
        "has no valid server name: set the server name",
    ),
    (
        "expired",
        |setting| named(setting, &[HOST], Valid::Past),
        plain,
        "the server's certificate has expired: renew it",
    ),
    (
        "not valid yet",
        |setting| named(setting, &[HOST], Valid::Future),
        plain,
        "the server's certificate is not valid yet: check the clocks",
    ),
    (
        "untrusted",
        usual,
        |setting| ClientTls::builder(setting.other.roots()).build().unwrap(),
        "the server's certificate is not signed by a trusted CA: add its CA to the roots of this client",
    ),
    (
        "no client certificate",
        mutual,
        plain,
        "the server requires a certificate of this client: set its identity",
    ),
    (
        "an untrusted client certificate",
        mutual,
        |setting| of_client(setting, &setting.other, Valid::Now),
        "the server does not trust the CA of this client's certificate",
    ),
    (
        "an untrusted client certificate, although it is optional",
        |setting| mutual(setting).optional_client_certificate(),
        |setting| of_client(setting, &setting.other, Valid::Now),
        "the server does not trust the CA of this client's certificate",
    ),
    (
        "an expired client certificate",
        mutual,
        |setting| of_client(setting, &setting.trusted, Valid::Past),
        "the server refused this client's certificate: it has expired",
    ),
];

#[tokio::test]
async fn tls_handshake_succeeds_or_fails_its_call_with_a_text_that_helps() {
    let setting = Setting { trusted: Authority::new("trusted"), other: Authority::new("other") };
    for (what, server, tls, words) in HANDSHAKES {
        let server = server(&setting).build().unwrap();
        let peer = Peer::with(Handlers::default(), |builder| builder.tls(server)).await;
        for transport in TRANSPORTS {
            for kind in KINDS {
                let ended = call(&client(&peer, transport, &tls(&setting)), kind).await;
                check(&ended, words, &format!("{what}, {transport:?}, {kind:?}"));
            }
        }
    }
}

fn check(ended: &Result<()>, words: &str, what: &str) {
    let found = text(ended);
    match words {
        "ok" => assert_eq!(found, "ok", "{what}"),
        words => {
            assert!(found.contains(words), "{what}: {found}");
            let error = ended.as_ref().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connection, "{what}: {error:?}");
        }
    }
}

/// Neither end falls back, and neither waits for a timeout.
#[tokio::test]
async fn tls_is_never_replaced_by_plaintext() {
    let authority = Authority::new("trusted");
    let tls = || ServerTls::builder(authority.identity(&[HOST]));
    let trusting = ClientTls::builder(authority.roots()).build().unwrap();
    // The server's TLS, whether the client has TLS, and words of how each call ends.
    let rows = [
        (
            "TLS to a plaintext port",
            None,
            true,
            "the server closed the connection during the handshake: check that it uses TLS",
        ),
        ("plaintext to a TLS port", Some(tls()), false, "clos"),
        ("plaintext to a port of both", Some(tls().allow_plaintext()), false, "ok"),
        ("TLS to a port of both", Some(tls().allow_plaintext()), true, "ok"),
    ];
    for (what, server, with_tls, words) in rows {
        let server = server.map(|server| server.build().unwrap());
        let peer = Peer::with(Handlers::default(), |builder| match server {
            Some(tls) => builder.tls(tls),
            None => builder,
        });
        let peer = peer.await;
        for transport in TRANSPORTS {
            for kind in KINDS {
                let client = match with_tls {
                    true => client(&peer, transport, &trusting),
                    false => peer.client_with(|client| client.transport(transport)),
                };
                let found = text(&call(&client, kind).await);
                let what = format!("{what}, {transport:?}, {kind:?}: {found}");
                assert!(found == words || words != "ok" && found.contains(words), "{what}");
            }
        }
    }
}

/// The server neither answers nor waits.
#[tokio::test]
async fn tls_server_closes_a_connection_that_begins_with_another_byte() {
    let authority = Authority::new("trusted");
    let (peer, _tls) = super::serve(&authority, Handlers::default()).await;
    for first in [
        &b"\0\0\0\x56\x10\0\0\x02"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"G",
        b"\x15\x03\x03\0\x02\x01\0",
    ] {
        let mut socket = TcpStream::connect(&peer.address).await.unwrap();
        socket.write_all(first).await.unwrap();
        let mut read = Vec::new();
        // A reset, if the server has not read everything.
        let _ = soon(socket.read_to_end(&mut read)).await;
        assert!(read.is_empty(), "{first:?}: {read:?}");
    }
}

#[tokio::test]
async fn tls_shows_the_certificate_of_a_client_to_handlers() {
    let authority = Authority::new("trusted");
    let (reporter, mut reported) = reports();
    let (of_unary, of_down) = (reporter.clone(), reporter);
    let names = |ctx: &kitex::Context| ctx.extension::<PeerCertificates>().map(PeerCertificates::dns_names);
    let handlers = Handlers::default()
        .unary(move |ctx, req| {
            of_unary.send(names(&ctx));
            async move { Ok(crate::fixture::answer(req)) }
        })
        .down(move |ctx, _, stream| {
            of_down.send(names(&ctx));
            async move {
                for seq in 0..3 {
                    stream.send(&resp("", seq)).await?;
                }
                Ok(())
            }
        });
    let tls = ServerTls::builder(authority.identity(&[HOST])).client_roots(authority.roots());
    let tls = tls.optional_client_certificate().build().unwrap();
    let peer = Peer::with(handlers, |server| server.tls(tls)).await;
    let without = ClientTls::builder(authority.roots());
    let with = without.clone().identity(authority.identity(&["client.example"]));
    let rows =
        [(without.build().unwrap(), None), (with.build().unwrap(), Some(vec!["client.example".to_owned()]))];
    for (tls, expected) in rows {
        for transport in TRANSPORTS {
            for kind in KINDS {
                call(&client(&peer, transport, &tls), kind).await.unwrap();
                assert_eq!(reported.next().await, expected, "{transport:?}, {kind:?}");
            }
        }
    }
}

/// The name that a client claims, and its metainfo, are not what its certificate says; handlers see both apart.
#[tokio::test]
async fn tls_shows_the_names_of_a_certificate_whatever_a_client_claims() {
    let authority = Authority::new("trusted");
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().unary(move |ctx, req| {
        let names = ctx.extension::<PeerCertificates>().map(PeerCertificates::dns_names);
        reporter.send(names.unwrap_or_default());
        async move { Ok(crate::fixture::answer(req)) }
    });
    let tls = ServerTls::builder(authority.identity(&[HOST])).client_roots(authority.roots());
    let tls = tls.build().unwrap();
    let peer = Peer::with(handlers, |server| server.tls(tls)).await;
    let identity = authority.identity(&["client.example"]);
    let tls = ClientTls::builder(authority.roots()).identity(identity).build().unwrap();
    for transport in TRANSPORTS {
        for claim in ["client.example", "ServiceB", "admin.example"] {
            let client =
                peer.client_with(|client| client.transport(transport).tls(tls.clone()).caller(claim));
            let ctx = kitex::Context::background().with_persistent("source-service", claim);
            soon(client.unary(&ctx, crate::fixture::req("", 7))).await.unwrap();
            assert_eq!(reported.next().await, ["client.example"], "{transport:?}, {claim}");
        }
    }
}

#[test]
fn tls_configuration_that_cannot_work_is_refused_when_it_is_built() {
    use kitex::tls::Identity;
    let (authority, other) = (Authority::new("trusted"), Authority::new("other"));
    let (first, second) = (authority.issue(&[HOST], Valid::Now), other.issue(&[HOST], Valid::Now));
    let rows: [(&str, String, &str); 7] = [
        ("no certificate", text_of(Identity::from_pem("", &first.key)), "no certificate in the certificates"),
        ("no key", text_of(Identity::from_pem(&first.certificate, "")), "no private key in the private key"),
        (
            "no file",
            text_of(Identity::from_files("/nowhere/a.pem", "/nowhere/a.key")),
            "cannot read /nowhere/a.pem",
        ),
        ("no root", text_of(Roots::from_pem(&first.key)), "no certificate in the certificates"),
        (
            "PEM without its end",
            text_of(Roots::from_pem("-----BEGIN CERTIFICATE-----\nAAAA")),
            "cannot use the certificates",
        ),
        (
            "the key of another certificate",
            text_of(
                Identity::from_pem(&first.certificate, &second.key)
                    .and_then(|identity| ServerTls::builder(identity).build()),
            ),
            "cannot use the certificate",
        ),
        (
            "a name that is none",
            text_of(ClientTls::builder(authority.roots()).server_name("a name").build()),
            "cannot use the server name \"a name\"",
        ),
    ];
    for (what, found, words) in rows {
        assert!(found.contains(words), "{what}: {found}");
    }
    let debug = format!("{:?}", first.identity());
    assert!(!debug.contains("PRIVATE") && debug.len() < 100, "{debug}");
}

fn text_of<T>(result: std::result::Result<T, kitex::tls::TlsError>) -> String {
    result.err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
}
