//! Who is woken when a stream may send again or was reset. h2 keeps one waker for that a stream, and calls it under
//! its own lock; so it only collects here, and never calls back.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::SendStream;
use stream_core::sync::Mutex;

/// Streams of one connection that its task has to look at.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    queued: Mutex<Vec<usize>>,
    task: Mutex<Option<Waker>>,
}

impl Watch {
    /// Sets the task that is woken when a stream is queued.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let waker = Some(cx.waker().clone());
        let known = mem::replace(&mut *self.task.lock(), waker);
        drop(known);
    }

    /// Returns the keys of the streams that were queued since the last call.
    pub(crate) fn take(&self) -> Vec<usize> {
        mem::take(&mut *self.queued.lock())
    }

    fn queue(&self, key: usize) {
        self.queued.lock().push(key);
        let task = self.task.lock().take();
        task.into_iter().for_each(Waker::wake);
    }
}

/// The waker that h2 keeps for one stream.
#[derive(Debug)]
pub(crate) struct SendWaker {
    /// The connection's task, and the stream's key there. A client's has none: its handles look for themselves.
    watch: Option<(Arc<Watch>, usize)>,
    senders: Mutex<Vec<Waker>>,
}

impl SendWaker {
    pub(crate) fn new(watch: Option<(Arc<Watch>, usize)>) -> Arc<Self> {
        Arc::new(Self { watch, senders: Mutex::default() })
    }

    /// Adds a task that waits to send.
    fn add(&self, cx: &Context<'_>) {
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
        if let Some((watch, key)) = &self.watch {
            watch.queue(*key);
        }
        self.wake_senders();
    }
}

/// This direction of the stream has ended.
pub(crate) struct Ended;

/// Waits until a message may be queued: until what was queued before has a place in the peer's windows. So no more
/// than one message is queued beyond them.
pub(crate) fn poll_room(
    send: &mut SendStream<Bytes>,
    waker: &Arc<SendWaker>,
    cx: &Context<'_>,
) -> Poll<Result<(), Ended>> {
    send.reserve_capacity(1);
    if send.capacity() > 0 {
        return Poll::Ready(Ok(()));
    }
    // Added before h2 is asked: it may wake at once.
    waker.add(cx);
    let h2_waker = Waker::from(waker.clone());
    loop {
        match send.poll_capacity(&mut Context::from_waker(&h2_waker)) {
            Poll::Ready(Some(Ok(0))) => {}
            Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Ended)),
            Poll::Pending => return Poll::Pending,
        }
    }
}
