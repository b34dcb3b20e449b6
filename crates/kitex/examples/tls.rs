//! TLS: mutual TLS with certificates from files, the client's certificate in a handler, and a reload while server and client
//! run. The certificates are made here; in production they come from your CA.
//! `cargo run -p kitex --features tls --example tls`

mod shared;

use std::fs;
use std::path::{Path, PathBuf};

use kitex::client::PoolKind;
use kitex::tls::{ClientTls, Identity, PeerCertificates, Roots, ServerTls};
use kitex::{Client, Context, Result, Server, ServerStreamingServer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, req, resp};

/// Answers with the name in the client's certificate.
struct Greeter;

#[kitex::async_trait]
impl Mirror for Greeter {
    async fn ping(&self, ctx: Context, _: Req) -> Result<Resp> {
        let names = ctx.extension::<PeerCertificates>().map(PeerCertificates::dns_names);
        Ok(resp(&names.unwrap_or_default().join(", "), 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let hello = self.ping(ctx, req).await?;
        stream.send(&hello).await
    }
}

/// A CA, which signs what both ends have.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Writes a certificate for `name` and its key.
    fn issue(
        &self,
        name: &str,
        folder: &Path,
    ) -> Result<[PathBuf; 2], Box<dyn std::error::Error + Send + Sync>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.issuer)?;
        let files = ["pem", "key"].map(|ending| folder.join(format!("{name}.{ending}")));
        fs::write(&files[0], certificate.pem())?;
        fs::write(&files[1], key.serialize_pem())?;
        Ok(files)
    }
}

#[tokio::main]
async fn main() -> Ended {
    let folder = std::env::temp_dir().join(format!("kitex-example-tls-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let ended = run(&folder).await;
    fs::remove_dir_all(&folder)?;
    ended
}

async fn run(folder: &Path) -> Ended {
    let authority = Authority::new()?;
    let roots = Roots::from_pem(&authority.pem)?;
    let [certificate, key] = authority.issue("127.0.0.1", folder)?;
    let server_tls = ServerTls::builder(Identity::from_files(certificate, key)?);
    // Each client needs a certificate of the same CA.
    let server_tls = server_tls.client_roots(roots.clone()).build()?;
    let server = Server::builder("greeter").tls(server_tls.clone()).service(MirrorServer::new(Greeter));
    let server = server.bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    let serving = tokio::spawn(server.serve());

    let [certificate, key] = authority.issue("reader.example", folder)?;
    let with = ClientTls::builder(roots.clone()).identity(Identity::from_files(certificate, key)?).build()?;
    let without = ClientTls::builder(roots).build()?;
    // A connection for each stream, so that each has its own handshake.
    let client = |tls: ClientTls| {
        let client = Client::builder("greeter").address(&*address).pool(PoolKind::Short).tls(tls);
        client.build().map(MirrorClient::new)
    };

    let reader = client(with)?;
    let ctx = Context::background();
    let hello = reader.down(&ctx, req("", 0)).await?.recv().await?;
    println!("the handler sees: {:?}", hello.as_ref().and_then(|hello| hello.msg.clone()));
    assert_eq!(hello.and_then(|hello| hello.msg).as_deref(), Some("reader.example"));

    let anonymous = client(without)?;
    let refused = async { anonymous.down(&ctx, req("", 0)).await?.recv().await }.await;
    let error = refused.expect_err("it has no certificate");
    println!("without a certificate: {error}");
    assert!(error.to_string().contains("requires a certificate of this client"));

    // A new certificate by the same CA, as when the old one is about to expire.
    authority.issue("127.0.0.1", folder)?;
    assert!(server_tls.reload()?, "the files have changed");
    let hello = reader.down(&ctx, req("", 0)).await?.recv().await?;
    println!("after the reload: {:?}", hello.as_ref().and_then(|hello| hello.msg.clone()));
    assert!(hello.is_some());
    serving.abort();
    Ok(())
}
