//! Follows what each service says of itself, so that the tree over all of them is here. Owns the connections to the
//! services' status pages; what the parts become is `kitex::inspect::Joined`.

use std::sync::Arc;
use std::time::Duration;

use kitex::inspect::Changes;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::shared::Shared;
use crate::fetch::{client, each_event};
use crate::line;
use crate::service::GATEWAY;
use crate::status::PAUSE;

/// Follows the services, and this process, until it is dropped.
pub(super) fn start(shared: &Arc<Shared>) -> JoinSet<()> {
    let mut following = JoinSet::new();
    following.spawn(own_streams(shared.clone()));
    following.spawn(own_reports(shared.clone()));
    for (name, address) in &shared.config.services {
        for path in ["streams/watch", "reports"] {
            let url = format!("http://{address}/{path}");
            following.spawn(follow(shared.clone(), name.clone(), url, path == "reports"));
        }
    }
    following
}

async fn own_streams(shared: Arc<Shared>) {
    let mut changes = Changes::new();
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(change) = changes.take() {
            shared.followed.apply(GATEWAY, &change);
        }
    }
}

async fn own_reports(shared: Arc<Shared>) {
    let mut reports = shared.reports.follow();
    loop {
        match reports.recv().await {
            Ok(report) => shared.followed.publish(line::json(&report)),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Reads an event stream of a service, again whenever it has ended: the service may come back.
async fn follow(shared: Arc<Shared>, service: String, url: String, reports: bool) {
    let client = client();
    loop {
        if let Ok(response) = client.get(&url).send().await {
            each_event(response, |data| {
                let Ok(value) = serde_json::from_slice(data) else { return };
                if reports { shared.followed.publish(value) } else { shared.followed.apply(&service, &value) }
            })
            .await;
            if !reports {
                shared.followed.joined().remove(&service);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

const AGAIN: Duration = Duration::from_millis(300);
