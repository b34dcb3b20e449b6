//! TLS to a real etcd that requires certificates of its clients.

use std::fs;
use std::time::Duration;

use kitex_etcd::Instance;
use kitex_tls::{ClientTls, ClientTlsBuilder, Identity, Roots};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::server::{EtcdServer, folder, is_missing};
use crate::{patient, until};

/// A CA that exists for one test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Returns a certificate for the address of the loopback, and its key, as PEM.
    fn issue(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.issue();
        Identity::from_pem(certificate, key).unwrap()
    }

    /// Returns the TLS of a client that trusts this CA.
    fn client(&self) -> ClientTlsBuilder {
        ClientTls::builder(Roots::from_pem(&self.pem).unwrap())
    }
}

async fn start(name: &str, ca: &Authority) -> EtcdServer {
    let files = folder(&format!("{name}-files"));
    fs::create_dir_all(&files).unwrap();
    let (certificate, key) = ca.issue();
    for (file, text) in [("ca.pem", &ca.pem), ("server.pem", &certificate), ("server.key", &key)] {
        fs::write(files.join(file), text).unwrap();
    }
    EtcdServer::start_https(name, files).await
}

fn build(builder: ClientTlsBuilder) -> ClientTls {
    builder.build().unwrap()
}

#[tokio::test]
async fn tls_with_a_client_certificate_registers_and_discovers() {
    if is_missing() {
        return;
    }
    let ca = Authority::new("etcd");
    let server = start("tls", &ca).await;
    let etcd = patient(format!("https://{}", server.https_endpoint()));
    let etcd = etcd.tls(build(ca.client().identity(ca.identity())));
    let instances = etcd.discover("model").unwrap();
    until(&instances, &[]).await;
    let registration = etcd.register("model", Instance::new("10.0.0.1:80")).await.unwrap();
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
    registration.deregister().await.unwrap();
    until(&instances, &[]).await;
}

#[tokio::test]
async fn tls_that_does_not_fit_is_one_clear_error() {
    if is_missing() {
        return;
    }
    let (ca, other) = (Authority::new("etcd"), Authority::new("other"));
    let server = start("tls-errors", &ca).await;
    let (https, http) = (server.https_endpoint(), server.endpoint());
    // The endpoint, the TLS of the client, and a part of the error.
    let rows = [
        (https.clone(), Some(other.client().identity(ca.identity())), "not signed by a trusted CA"),
        (https.clone(), Some(ca.client()), "refused this client's certificate, or requires one"),
        (https.clone(), Some(ca.client().identity(other.identity())), "refused this client's certificate"),
        (
            https.clone(),
            Some(ca.client().identity(ca.identity()).server_name("etcd.example")),
            "certificate is for 127.0.0.1, not for etcd.example",
        ),
        (https.clone(), None, "check whether it requires TLS"),
        (http.clone(), Some(ca.client()), "check that it uses TLS on this address"),
        (format!("https://{https}"), None, "https needs Etcd::tls"),
        (format!("http://{http}"), Some(ca.client()), "http excludes it"),
    ];
    for (endpoint, tls, expected) in rows {
        let etcd = patient(endpoint.clone());
        let etcd = match tls {
            Some(tls) => etcd.tls(build(tls)),
            None => etcd,
        };
        let mut error = String::new();
        for _ in 0..100 {
            error = match etcd.register("model", Instance::new("10.0.0.1:80")).await {
                Ok(_) => "none".to_owned(),
                Err(error) => error.to_string(),
            };
            if error.contains(expected) {
                break;
            }
            // A reset may overtake what the server has said.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(error.contains(expected), "{endpoint}: {error:?} has no {expected:?}");
    }
}
