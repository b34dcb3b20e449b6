//! Registration and discovery against a real etcd.

mod compaction;
mod hostile;
#[path = "../../../kitex/tests/it/fixture/log.rs"]
mod log;
mod proxy;
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "the tests of TLS use the rest"))]
mod server;
#[cfg(feature = "tls")]
mod tls;

use std::future::poll_fn;
use std::task::{Context, Waker};
use std::time::Duration;

use kitex::client::Discover;
use kitex_etcd::{Etcd, EtcdError, EtcdInstances, Instance};
use server::{EtcdServer, is_missing};

/// Waits until `instances` are the `expected`, as `address weight tags`.
async fn until(instances: &EtcdInstances, expected: &[&str]) {
    let mut seen = Vec::new();
    for _ in 0..1200 {
        seen = current(instances);
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{seen:?} are not {expected:?}");
}

fn current(instances: &EtcdInstances) -> Vec<String> {
    match instances.poll_instances(&mut Context::from_waker(Waker::noop()), None) {
        std::task::Poll::Ready(set) => set.instances().iter().map(shown).collect(),
        std::task::Poll::Pending => vec!["none yet".to_owned()],
    }
}

fn shown(instance: &Instance) -> String {
    format!("{} {} {:?}", instance.address, instance.weight, instance.tags)
}

/// Operations may take long on a busy machine.
fn patient(endpoint: String) -> Etcd {
    Etcd::new([endpoint]).refresh(Duration::ZERO).timeout(Duration::from_secs(60))
}

fn etcd(server: &EtcdServer) -> Etcd {
    patient(server.endpoint()).lease(Duration::from_secs(2))
}

#[tokio::test]
async fn register_and_deregister_are_seen_by_discover() {
    if is_missing() {
        return;
    }
    let server = EtcdServer::start("register").await;
    // The first endpoint does not answer.
    let etcd = Etcd::new(["127.0.0.1:1".to_owned(), format!("http://{}", server.endpoint())]);
    let etcd = etcd.refresh(Duration::ZERO).timeout(Duration::from_secs(60));
    let instances = etcd.discover("model").unwrap();
    until(&instances, &[]).await;
    let first = Instance::new("10.0.0.1:80").with_weight(20).with_tag("zone", "a");
    let first = etcd.register("model", first).await.unwrap();
    let second = etcd.register("model", Instance::new("10.0.0.2:80")).await.unwrap();
    let _other = etcd.register("model2", Instance::new("10.0.0.3:80")).await.unwrap();
    until(&instances, &[r#"10.0.0.1:80 20 {"zone": "a"}"#, "10.0.0.2:80 10 {}"]).await;
    // As Kitex's registry-etcd writes them.
    let all = server.post("/v3/kv/range", r#"{"key":"AA==","range_end":"AA=="}"#).unwrap();
    let key = "a2l0ZXgvcmVnaXN0cnktZXRjZC9tb2RlbC8xMC4wLjAuMTo4MA==";
    assert!(all.contains(key), "kitex/registry-etcd/model/10.0.0.1:80 is not in {all}");
    first.deregister().await.unwrap();
    until(&instances, &["10.0.0.2:80 10 {}"]).await;
    second.deregister().await.unwrap();
    until(&instances, &[]).await;
    // A client that begins later waits for the first set.
    let later = etcd.discover("model2").unwrap();
    let set = poll_fn(|cx| later.poll_instances(cx, None)).await;
    assert_eq!(set.instances().iter().map(shown).collect::<Vec<_>>(), ["10.0.0.3:80 10 {}"]);
}

#[tokio::test]
async fn a_registration_is_renewed_and_made_again_and_expires_without_its_process() {
    if is_missing() {
        return;
    }
    let server = EtcdServer::start("lease").await;
    let etcd = etcd(&server);
    let instances = etcd.discover("model").unwrap();
    let kept = etcd.register("model", Instance::new("10.0.0.1:80")).await.unwrap();
    let dropped = etcd.register("model", Instance::new("10.0.0.2:80")).await.unwrap();
    until(&instances, &["10.0.0.1:80 10 {}", "10.0.0.2:80 10 {}"]).await;
    // As if its process was killed.
    drop(dropped);
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
    let all = r#"{"key":"AA==","range_end":"AA=="}"#;
    server.post("/v3/kv/deleterange", all).unwrap();
    // Its absence may be too short to be seen.
    let key = "a2l0ZXgvcmVnaXN0cnktZXRjZC9tb2RlbC8xMC4wLjAuMTo4MA==";
    let mut made_again = false;
    for _ in 0..1200 {
        made_again = server.post("/v3/kv/range", all).is_some_and(|pairs| pairs.contains(key));
        if made_again {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(made_again, "kitex/registry-etcd/model/10.0.0.1:80 is missing");
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
    kept.deregister().await.unwrap();
    until(&instances, &[]).await;
}

#[tokio::test]
async fn etcd_killed_and_restarted_changes_no_instance_and_changes_are_seen_again() {
    if is_missing() {
        return;
    }
    let mut server = EtcdServer::start("restart").await;
    let etcd = etcd(&server).lease(Duration::from_secs(60));
    let instances = etcd.discover("model").unwrap();
    let first = etcd.register("model", Instance::new("10.0.0.1:80")).await.unwrap();
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(current(&instances), ["10.0.0.1:80 10 {}"]);
    let error = etcd.register("model", Instance::new("10.0.0.2:80")).await.unwrap_err();
    assert!(matches!(error, EtcdError::Unreachable { .. }), "{error}");
    server.restart().await;
    let _second = etcd.register("model", Instance::new("10.0.0.2:80")).await.unwrap();
    until(&instances, &["10.0.0.1:80 10 {}", "10.0.0.2:80 10 {}"]).await;
    first.deregister().await.unwrap();
    until(&instances, &["10.0.0.2:80 10 {}"]).await;
}

#[tokio::test]
async fn user_and_password_are_sent_where_etcd_requires_them() {
    if is_missing() {
        return;
    }
    let server = EtcdServer::start("auth").await;
    for (path, body) in [
        ("/v3/auth/user/add", r#"{"name":"root","password":"secret"}"#),
        ("/v3/auth/role/add", r#"{"name":"root"}"#),
        ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
        ("/v3/auth/enable", "{}"),
    ] {
        assert!(server.post(path, body).is_some(), "{path}");
    }
    let refused = etcd(&server).register("model", Instance::new("10.0.0.1:80")).await.unwrap_err();
    assert!(matches!(refused, EtcdError::Refused { .. }), "{refused}");
    let refused = etcd(&server).user("root", "wrong").register("model", Instance::new("10.0.0.1:80")).await;
    assert!(matches!(refused, Err(EtcdError::Refused { .. })), "{refused:?}");
    let etcd = etcd(&server).user("root", "secret");
    let instances = etcd.discover("model").unwrap();
    let registration = etcd.register("model", Instance::new("10.0.0.1:80")).await.unwrap();
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
    registration.deregister().await.unwrap();
    until(&instances, &[]).await;
}

#[tokio::test]
async fn timeout_ends_an_operation_that_is_not_answered() {
    // The system accepts the connection, and nothing reads from it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let etcd = Etcd::new([silent.local_addr().unwrap().to_string()]).timeout(Duration::from_millis(300));
    let ended = etcd.register("model", Instance::new("10.0.0.1:80")).await;
    // On a busy machine the connection alone may take as long as it may.
    assert!(matches!(ended, Err(EtcdError::Timeout | EtcdError::Unreachable { .. })), "{ended:?}");
}
