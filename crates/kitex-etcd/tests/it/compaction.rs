//! A watch that is interrupted, while etcd compacts the revisions that it has missed.

use std::time::Duration;

use kitex_etcd::Instance;
use serde_json::Value;

use crate::proxy::Proxy;
use crate::server::{EtcdServer, is_missing};
use crate::{patient, until};

/// Discards all earlier revisions.
fn compact(server: &EtcdServer) {
    let read = server.post("/v3/kv/range", r#"{"key":"eA=="}"#).unwrap();
    let read: Value = serde_json::from_str(&read).unwrap();
    let revision = read["header"]["revision"].as_str().unwrap();
    server.post("/v3/kv/compaction", &format!(r#"{{"revision":"{revision}"}}"#)).unwrap();
}

#[tokio::test]
async fn instances_are_read_again_if_the_revision_of_their_watch_was_compacted() {
    if is_missing() {
        return;
    }
    let server = EtcdServer::start("compaction").await;
    let direct = patient(server.endpoint());
    // The requests that wait while changes are made and compacted: the read, so that the watch after it misses nothing, or
    // the watch alone, which then begins at a revision that is gone.
    for (held, is_compacted) in [("POST /v3/kv/range", false), ("POST /v3/watch", true)] {
        let mut proxy = Proxy::start(server.endpoint()).await;
        // So that nothing but the end of a watch is a reason to read again.
        let etcd = patient(proxy.endpoint()).resync(Duration::from_secs(3600));
        let instances = etcd.discover("model").unwrap();
        until(&instances, &[]).await;
        // A request that waits for long ends by its own time limit, on a busy machine.
        for _ in 0..20 {
            let first = direct.register("model", Instance::new("10.0.0.1:80")).await.unwrap();
            until(&instances, &["10.0.0.1:80 10 {}"]).await;
            proxy.cut_and_hold(held).await;
            first.deregister().await.unwrap();
            let second = direct.register("model", Instance::new("10.0.0.2:80")).await.unwrap();
            compact(&server);
            proxy.release();
            until(&instances, &["10.0.0.2:80 10 {}"]).await;
            // The watch goes on.
            second.deregister().await.unwrap();
            until(&instances, &[]).await;
            if is_compacted == (proxy.compacted() > 0) {
                break;
            }
        }
        assert_eq!(proxy.compacted() > 0, is_compacted, "{held}");
    }
}
