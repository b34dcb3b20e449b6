//! Certificates that are replaced while server and client run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kitex::Context;
use kitex::tls::{ClientTls, Identity, Roots, ServerTls};

use super::certificates::{Authority, Pair, Valid};
use super::{HOST, Kind, TRANSPORTS, call, client, text};
use crate::fixture::{Handlers, Peer, req, soon};

const UNTRUSTED: &str = "not signed by a trusted CA";

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kitex-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, pair: &Pair) {
        fs::write(self.path("cert.pem"), &pair.certificate).unwrap();
        fs::write(self.path("key.pem"), &pair.key).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn identity(&self) -> Identity {
        Identity::from_files(self.path("cert.pem"), self.path("key.pem")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a new client that trusts `authority` ends.
async fn dialed(peer: &Peer, authority: &Authority) -> String {
    let tls = ClientTls::builder(authority.roots()).build().unwrap();
    text(&call(&client(peer, TRANSPORTS[0], &tls), Kind::Stream).await)
}

#[tokio::test]
async fn reload_of_a_server_takes_new_files_for_new_connections_and_keeps_open_ones() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let folder = Folder::new("tls-reload");
    folder.write(&old.issue(&[HOST], Valid::Now));
    let tls = ServerTls::builder(folder.identity()).build().unwrap();
    let peer = Peer::with(Handlers::default(), |server| server.tls(tls.clone())).await;

    let open = client(&peer, TRANSPORTS[0], &ClientTls::builder(old.roots()).build().unwrap());
    let mut bidi = open.bidi(&Context::background()).await.unwrap();
    assert!(!tls.reload().unwrap(), "nothing has changed");
    assert_eq!(dialed(&peer, &old).await, "ok");

    folder.write(&new.issue(&[HOST], Valid::Now));
    assert!(dialed(&peer, &new).await.contains(UNTRUSTED), "before the reload");
    assert!(tls.reload().unwrap());
    assert_eq!(dialed(&peer, &new).await, "ok");
    assert!(dialed(&peer, &old).await.contains(UNTRUSTED), "after the reload");
    bidi.send(&req("", 5)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(5), "open connections continue");
}

#[tokio::test]
async fn reload_that_fails_keeps_the_previous_certificates() {
    let authority = Authority::new("trusted");
    let folder = Folder::new("tls-bad-reload");
    let (first, second) = (authority.issue(&[HOST], Valid::Now), authority.issue(&[HOST], Valid::Now));
    folder.write(&first);
    let tls = ServerTls::builder(folder.identity()).build().unwrap();
    let peer = Peer::with(Handlers::default(), |server| server.tls(tls.clone())).await;
    type Spoil<'a> = &'a dyn Fn(&Path);
    let spoil: [(&str, Spoil<'_>); 3] = [
        ("half a file", &|path| fs::write(path, &second.certificate[..100]).unwrap()),
        ("the certificate of another key", &|path| fs::write(path, &second.certificate).unwrap()),
        ("no file", &|path| fs::remove_file(path).unwrap()),
    ];
    for (what, spoil) in spoil {
        spoil(&folder.path("cert.pem"));
        assert!(tls.reload().is_err(), "{what}");
        assert_eq!(dialed(&peer, &authority).await, "ok", "{what}");
    }
    folder.write(&second);
    assert!(tls.reload().unwrap());
    assert_eq!(dialed(&peer, &authority).await, "ok");
}

#[tokio::test]
async fn watch_reloads_files_that_have_changed() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let folder = Folder::new("tls-watch");
    folder.write(&old.issue(&[HOST], Valid::Now));
    let tls = ServerTls::builder(folder.identity()).build().unwrap();
    let peer = Peer::with(Handlers::default(), |server| server.tls(tls.clone())).await;
    let watching = tokio::spawn(tls.watch(Duration::from_millis(5)));
    folder.write(&new.issue(&[HOST], Valid::Now));
    soon(async {
        while dialed(&peer, &new).await != "ok" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(!watching.is_finished());
    watching.abort();
}

#[tokio::test]
async fn reload_of_a_client_replaces_its_certificate_and_its_roots() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let tls = ServerTls::builder(new.identity(&[HOST])).client_roots(new.roots()).build().unwrap();
    let peer = Peer::with(Handlers::default(), |server| server.tls(tls.clone())).await;
    let folder = Folder::new("tls-client-reload");
    folder.write(&old.issue(&["client.example"], Valid::Now));
    fs::write(folder.path("ca.pem"), old.pem()).unwrap();
    let tls =
        ClientTls::builder(Roots::from_file(folder.path("ca.pem")).unwrap()).identity(folder.identity());
    let tls = tls.build().unwrap();
    for transport in TRANSPORTS {
        let found = text(&call(&client(&peer, transport, &tls), Kind::Stream).await);
        assert!(found.contains(UNTRUSTED), "{transport:?}: {found}");
    }
    fs::write(folder.path("ca.pem"), new.pem()).unwrap();
    assert!(tls.reload().unwrap());
    for transport in TRANSPORTS {
        let found = text(&call(&client(&peer, transport, &tls), Kind::Stream).await);
        assert!(found.contains("the server does not trust the CA"), "{transport:?}: {found}");
    }
    folder.write(&new.issue(&["client.example"], Valid::Now));
    assert!(tls.reload().unwrap());
    for transport in TRANSPORTS {
        assert_eq!(text(&call(&client(&peer, transport, &tls), Kind::Stream).await), "ok", "{transport:?}");
    }
}
