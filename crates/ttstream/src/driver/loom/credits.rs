//! Models of flow control by credits: a Send that waits for credit, and grants, which the task writes that takes a message.

use std::sync::Arc;

use kerrors::{Code, Side};

use super::model::{Model, Peer};
use super::{assert_nothing_queued, code};
use crate::cancel::Reason;
use crate::models::{Count, check};
use crate::proto::{Config, StreamKey};

/// Returns windows of one message.
fn config() -> Config {
    Config::default().flow_credits(true).stream_receive_window(256)
}

/// Returns a client's connection with one stream, and the server's state machine, which have agreed on credits.
fn agreed() -> (Arc<Model>, StreamKey, Peer, StreamKey) {
    let link = Model::new(Side::Client, config());
    let key = link.open();
    let mut peer = link.peer_with(Side::Server, config());
    let handler = peer.opened()[0];
    link.read(&peer.writes());
    peer.read(&link);
    link.read(&peer.writes());
    assert!(peer.0.has_credits() && link.read_connection(|connection| connection.has_credits()));
    (link, key, peer, handler)
}

/// The same; the client has used its credit, and the server's grant of one more message is on its way.
fn granted() -> (Arc<Model>, StreamKey, bytes::BytesMut) {
    let (link, key, mut peer, handler) = agreed();
    assert!(link.poll_send(&Count::new(), key).is_ready());
    peer.read(&link);
    assert_eq!(peer.messages(handler), 1);
    (link, key, peer.writes())
}

#[test]
fn a_grant_wakes_each_send_that_waits_for_credit_or_it_is_ready() {
    check(|| {
        let (link, key, grant) = granted();
        let (first, second) = (Count::new(), Count::new());
        assert!(link.poll_send(&first, key).is_pending());
        let reading = link.reading(grant);
        let sent = link.poll_send(&second, key).is_ready();
        reading.join().unwrap();
        assert_eq!((first.get(), second.get()), (1, usize::from(!sent)));
        assert_eq!(link.poll_send(&first, key).is_ready(), !sent, "one message was granted");
        assert_nothing_queued(&link);
    });
}

#[test]
fn a_cancel_wakes_a_send_that_waits_for_credit_while_a_grant_arrives() {
    check(|| {
        let (link, key, grant) = granted();
        let sender = Count::new();
        assert!(link.poll_send(&sender, key).is_pending());
        let reading = link.reading(grant);
        link.update_connection(|connection| connection.cancel(key, &Reason::Canceled));
        reading.join().unwrap();
        assert_eq!(sender.get(), 1);
        assert!(link.poll_send(&sender, key).is_ready());
        assert_eq!(code(&link.read_connection(|connection| connection.outcome(key))), Some(Code::CANCELED));
        link.release(key);
        link.check_empty();
    });
}

#[test]
fn a_grant_is_written_by_the_task_that_takes_a_message_while_another_writes() {
    check(|| {
        let (link, key, mut peer, handler) = agreed();
        peer.send(handler, 1);
        link.read(&peer.writes());
        let taking = link.doing(move |link| assert!(link.poll_recv(&Count::new(), key).is_ready()));
        link.update_connection(|connection| connection.close_send(key));
        taking.join().unwrap();
        assert_nothing_queued(&link);
        peer.read(&link);
        peer.send(handler, 1);
        link.read(&peer.writes());
        assert!(link.poll_recv(&Count::new(), key).is_ready(), "it was granted");
    });
}
