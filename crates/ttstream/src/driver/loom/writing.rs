//! Models of writing: backpressure, and what the tasks of senders, the writer task and the reader write of each other's frames.

use std::sync::Arc;

use bytes::BytesMut;
use kerrors::{Code, Side};
use loom::thread::JoinHandle;

use super::model::{Model, Peer};
use super::{assert_nothing_queued, code, front};
use crate::cancel::Reason;
use crate::models::{Count, check};
use crate::proto::{Config, StreamKey};
use crate::sync::releases;

/// Returns a client's connection whose send buffer is full: one message is queued behind the task's batch.
fn spent() -> (Arc<Model>, StreamKey) {
    let link = Model::narrow(Side::Client, Config::default().send_buffer(1));
    let key = link.open();
    link.settle();
    for _ in 0..2 {
        assert!(link.poll_send(&Count::new(), key).is_ready());
    }
    (link, key)
}

/// Returns a client's connection with one stream, of which nothing is queued.
fn idle() -> (Arc<Model>, StreamKey) {
    let link = front();
    let key = link.open();
    link.settle();
    (link, key)
}

/// As [`idle`], after three consecutive sends: the last is written by the task.
fn woken() -> (Arc<Model>, StreamKey) {
    let (link, key) = idle();
    (0..3).for_each(|_| assert!(link.poll_send(&Count::new(), key).is_ready()));
    (link, key)
}

/// Sends a message that is a whole batch, in a thread of its own.
fn sending_whole_batch(link: &Arc<Model>, key: StreamKey) -> JoinHandle<()> {
    link.doing(move |link| assert!(link.poll_send_of(&Count::new(), key, &[0; 64 * 1024]).is_ready()))
}

#[test]
fn backpressure_wakes_each_waiting_send_or_it_is_ready() {
    check(|| {
        let (link, key) = spent();
        let (first, second) = (Count::new(), Count::new());
        assert!(link.poll_send(&first, key).is_pending());
        let writing = link.doing(|link| link.poll_writer());
        let sent = link.poll_send(&second, key).is_ready();
        writing.join().unwrap();
        assert_eq!((first.get(), second.get()), (1, usize::from(!sent)));
        link.settle();
        assert!(link.poll_send(&first, key).is_ready(), "woken for nothing");
    });
}

#[test]
fn backpressure_wakes_a_waiting_open_or_it_is_ready() {
    check(|| {
        let (link, _) = spent();
        let opener = Count::new();
        let writing = link.doing(|link| link.poll_writer());
        let opened = link.poll_open(&opener).is_ready();
        writing.join().unwrap();
        assert_eq!(opener.get(), usize::from(!opened));
        assert!(opened || link.poll_open(&opener).is_ready(), "woken for nothing");
    });
}

#[test]
fn scheduler_writer_task_writes_what_a_sender_leaves() {
    check(|| {
        let link = Model::narrow(Side::Client, Config::default());
        let key = link.open();
        link.settle();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), key).is_ready()));
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[1]);
    });
}

#[test]
fn scheduler_sender_with_a_whole_batch_does_not_wait_for_the_task() {
    check(|| {
        let (link, key) = woken();
        let sending = sending_whole_batch(&link, key);
        assert!(link.poll_send(&Count::new(), key).is_ready());
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[5]);
    });
}

#[test]
fn scheduler_sender_with_a_whole_batch_writes_before_the_task_runs() {
    check(|| {
        let (link, key) = woken();
        let sending = sending_whole_batch(&link, key);
        assert!(link.poll_send(&Count::new(), key).is_ready());
        sending.join().unwrap();
        let mut peer = Peer::new(Side::Server);
        peer.read_bytes(link.take_written());
        let handler = peer.opened()[0];
        assert!(peer.messages(handler) >= 4, "the task has not run");
        assert_nothing_queued(&link);
    });
}

/// The task was woken, a sender with a whole batch writes before it, and another sender queues more
/// meanwhile.
#[test]
fn scheduler_writer_task_does_not_begin_while_a_sender_writes() {
    check(|| {
        let (link, key) = woken();
        let sending = [64 * 1024, 1].map(|len| {
            link.doing(move |link| assert!(link.poll_send_of(&Count::new(), key, &vec![0; len]).is_ready()))
        });
        link.poll_writer();
        sending.into_iter().for_each(|sending| sending.join().unwrap());
        assert_written(&link, &[5]);
    });
}

/// To queue the message, to take the batch, and to find that nothing more is queued.
#[test]
fn scheduler_sender_takes_the_lock_three_times() {
    const OF_THE_WIRE: usize = 1;
    check(|| {
        let (link, key) = idle();
        let before = releases();
        assert!(link.poll_send(&Count::new(), key).is_ready());
        assert_eq!(releases() - before, 3 + OF_THE_WIRE);
        assert!(!link.take_written().is_empty());
    });
}

#[test]
fn scheduler_writer_task_writes_what_is_queued_while_it_writes() {
    check(|| {
        let link = front();
        let key = link.open();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), key).is_ready()));
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[1]);
    });
}

#[test]
fn scheduler_writes_all_frames_of_two_senders_of_one_stream() {
    check(|| {
        let (link, key) = idle();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), key).is_ready()));
        assert!(link.poll_send(&Count::new(), key).is_ready());
        sending.join().unwrap();
        assert_written(&link, &[2]);
    });
}

#[test]
fn scheduler_writes_all_frames_of_two_streams() {
    check(|| {
        let link = front();
        let keys = [link.open(), link.open()];
        link.settle();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), keys[0]).is_ready()));
        assert!(link.poll_send(&Count::new(), keys[1]).is_ready());
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[1, 1]);
    });
}

/// Returns a client's connection with two receiving streams, and the server's bytes for both.
fn two_receiving_streams() -> (Arc<Model>, [StreamKey; 2], Peer, Vec<StreamKey>, BytesMut) {
    let link = front();
    let keys = [link.open(), link.open()];
    let mut peer = link.peer(Side::Server);
    let handlers = peer.opened();
    handlers.iter().for_each(|handler| peer.send(*handler, 1));
    for key in keys {
        assert!(link.poll_recv(&Count::new(), key).is_pending());
    }
    let news = peer.writes();
    (link, keys, peer, handlers, news)
}

#[test]
fn corked_responses_are_written_while_the_reader_wakes_tasks() {
    check(|| {
        let (link, keys, mut peer, handlers, news) = two_receiving_streams();
        let reading = link.reading(news);
        assert!(link.poll_send(&Count::new(), keys[0]).is_ready());
        reading.join().unwrap();
        assert_nothing_queued(&link);
        peer.read(&link);
        assert_eq!(peer.messages(handlers[0]), 1);
    });
}

#[test]
fn a_cancel_is_not_corked_while_the_reader_wakes_tasks() {
    check(|| {
        let (link, keys, mut peer, handlers, news) = two_receiving_streams();
        let canceling = link.doing(move |link| {
            link.update_connection(|connection| connection.cancel(keys[0], &Reason::Canceled));
        });
        let mut check = Some(|| {
            canceling.join().unwrap();
            peer.read(&link);
            assert_eq!(code(&peer.0.outcome(handlers[0])), Some(Code::CANCELED));
        });
        // The first time that the reader yields; never, if the cancel came before.
        link.read_while(&news, || check.take().into_iter().for_each(|check| check()));
        check.into_iter().for_each(|check| check());
        assert_nothing_queued(&link);
    });
}

/// Asserts that the peer has received this many messages of each stream, and that nothing is queued.
fn assert_written(link: &Model, messages: &[usize]) {
    assert_nothing_queued(link);
    let mut peer = link.peer(Side::Server);
    let opened = peer.opened();
    let read: Vec<_> = opened.into_iter().map(|key| peer.messages(key)).collect();
    assert_eq!(read, messages);
}
