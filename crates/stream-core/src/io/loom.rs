//! Models of the in-memory stream: a task that waits on either end is woken, or sees what it waits for.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::Context;

use bytes::BytesMut;
use loom::thread::spawn;

use super::Io;
use crate::models::{Count, check};

fn poll_read(io: &Io, count: &Arc<Count>) -> bool {
    io.poll_read_ready(&mut Context::from_waker(&count.waker())).is_ready()
}

fn poll_write(io: &Io, count: &Arc<Count>) -> bool {
    io.poll_write_ready(&mut Context::from_waker(&count.waker())).is_ready()
}

fn write(io: &Io) -> usize {
    io.try_write_vectored(&[IoSlice::new(b"message")]).unwrap_or(0)
}

fn dropped(_: Io) -> Option<Io> {
    None
}

fn read(io: &Io) -> Option<usize> {
    io.try_read_buf(&mut BytesMut::with_capacity(64)).ok()
}

/// Polls one end while `change` runs at the other: it is woken exactly if it did not see the change.
fn check_woken(
    poll: fn(&Io, &Arc<Count>) -> bool,
    prepare: fn(&Io),
    change: fn(Io) -> Option<Io>,
    after: fn(&Io),
) {
    check(move || {
        let ((first, second), count) = (Io::pair(7), Count::new());
        prepare(&first);
        let changing = spawn(move || change(second));
        let seen = poll(&first, &count);
        let _other = changing.join().unwrap();
        assert_eq!(count.get(), usize::from(!seen));
        assert!(poll(&first, &count), "a spurious wake");
        after(&first);
    });
}

#[test]
fn memory_reader_sees_a_write_or_is_woken() {
    let change = |second: Io| {
        assert_eq!(write(&second), 7);
        Some(second)
    };
    check_woken(poll_read, |_| (), change, |first| assert_eq!(read(first), Some(7)));
}

#[test]
fn memory_writer_sees_room_or_is_woken() {
    let change = |second: Io| {
        assert_eq!(read(&second), Some(7));
        Some(second)
    };
    check_woken(
        poll_write,
        |first| assert_eq!((write(first), write(first)), (7, 0)),
        change,
        |first| assert_eq!(write(first), 7),
    );
}

#[test]
fn memory_reader_sees_the_end_or_is_woken() {
    check_woken(poll_read, |_| (), dropped, |first| assert_eq!(read(first), Some(0)));
}

#[test]
fn memory_writer_sees_the_end_or_is_woken() {
    check_woken(
        poll_write,
        |first| assert_eq!(write(first), 7),
        dropped,
        |first| {
            let written = first.try_write_vectored(&[IoSlice::new(b"late")]);
            assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        },
    );
}

#[test]
fn memory_tasks_of_an_end_that_shuts_down_are_woken() {
    check(|| {
        let ((first, _second), count) = (Io::pair(7), Count::new());
        let first = Arc::new(first);
        let shutting = spawn({
            let first = first.clone();
            move || first.shutdown().unwrap()
        });
        let seen = poll_read(&first, &count);
        shutting.join().unwrap();
        assert_eq!(count.get(), usize::from(!seen));
    });
}
