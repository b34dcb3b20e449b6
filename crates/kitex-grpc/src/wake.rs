//! Wakes tasks when a stream may send again (backpressure) or was reset. h2 keeps one waker per stream, and
//! calls it under its own lock, so the waker only queues the stream and never calls back into h2.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use stream_core::sync::Mutex;

/// The streams of one connection that its task has to check.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    streams: Vec<usize>,
    /// The connection's task, while it waits. While it runs, it takes what is queued without being woken.
    task: Option<Waker>,
}

impl Watch {
    /// Returns the keys of the streams that were queued since the last call. Until [`register`](Self::register) a stream that
    /// is queued wakes nothing.
    pub(crate) fn take(&self) -> Vec<usize> {
        let mut queue = self.0.lock();
        let (streams, task) = (mem::take(&mut queue.streams), queue.task.take());
        drop(queue);
        drop(task);
        streams
    }

    /// Sets the task to wake when a stream is queued; wakes it now if one is queued already.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let task = Some(cx.waker().clone());
        let mut queue = self.0.lock();
        let known = mem::replace(&mut queue.task, task);
        let task = if queue.streams.is_empty() { None } else { queue.task.take() };
        drop(queue);
        drop(known);
        task.into_iter().for_each(Waker::wake);
    }

    /// Returns whether a stream is queued.
    fn has_queued(&self) -> bool {
        !self.0.lock().streams.is_empty()
    }

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        let task = self.0.lock().task.take();
        task.into_iter().for_each(Waker::wake);
    }

    /// Has the connection's task look at a stream.
    pub(crate) fn queue(&self, key: usize) {
        let mut queue = self.0.lock();
        queue.streams.push(key);
        let task = queue.task.take();
        drop(queue);
        task.into_iter().for_each(Waker::wake);
    }
}

/// Has the tasks of several streams that one read has woken share a write. Without it each of them would wake the
/// connection's task, which the runtime runs next, before the tasks that wait: one write for each message.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    waits: bool,
}

impl Batch {
    /// Returns whether the connection's task waits until the tasks that are ready have run, because one of `streams` has
    /// something to send and others may follow. It is polled again then.
    pub(crate) fn waits(&mut self, watch: &Watch, streams: usize, cx: &mut Context<'_>) -> bool {
        self.waits = !self.waits && streams > 1 && watch.has_queued();
        if self.waits {
            // Its first poll wakes the task, once others have run.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        self.waits
    }
}

/// The waker that h2 keeps for one stream.
#[derive(Debug)]
pub(crate) struct SendWaker {
    /// The connection's task, and the stream's key there.
    watch: Arc<Watch>,
    key: usize,
    senders: Mutex<Vec<Waker>>,
}

impl SendWaker {
    pub(crate) fn new(watch: Arc<Watch>, key: usize) -> Arc<Self> {
        Arc::new(Self { watch, key, senders: Mutex::default() })
    }

    /// Adds a task that waits to send.
    pub(crate) fn add(&self, cx: &Context<'_>) {
        let mut senders = self.senders.lock();
        if !senders.iter().any(|known| known.will_wake(cx.waker())) {
            senders.push(cx.waker().clone());
        }
    }

    /// Wakes every task that waits to send.
    pub(crate) fn wake_senders(&self) {
        let senders = mem::take(&mut *self.senders.lock());
        senders.into_iter().for_each(Waker::wake);
    }
}

impl Wake for SendWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.watch.queue(self.key);
        self.wake_senders();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_stream_that_is_queued_wakes_a_task_that_waits_and_is_found_by_one_that_runs() {
        let (watch, count) = (Watch::default(), Arc::new(Count::default()));
        let woken = || count.0.load(Ordering::Relaxed);
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        watch.register(&cx);
        assert_eq!(woken(), 0);
        watch.queue(1);
        watch.queue(2);
        assert_eq!(woken(), 1, "both are taken at once");
        assert_eq!(watch.take(), [1, 2]);
        watch.queue(3);
        assert_eq!(woken(), 1, "the task runs");
        watch.register(&cx);
        assert_eq!(woken(), 2, "one came while the task ran");
        assert_eq!(watch.take(), [3]);
        watch.register(&cx);
        assert_eq!(woken(), 2);
        watch.queue(4);
        assert_eq!(woken(), 3);
    }
}
