//! Thread-per-core: single-threaded runtimes. A task woken by a connection runs on the thread that reads the
//! connection, so no work moves between cores: no other thread is woken, and locks are not contended.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

/// Threads with a single-threaded runtime each (thread-per-core). Clones are the same threads.
///
/// For many short messages on many streams, their throughput is about twice that of one multi-threaded
/// runtime. The price: tasks are not moved to another core, so a handler that computes for long delays every
/// stream of its core, and `tokio::task::block_in_place` panics; such work belongs to
/// `tokio::task::spawn_blocking`.
///
/// A thread ends when the last clone is dropped and no task is left on it, so that background tasks of
/// handlers complete. It waits for no task of [`spawn_with_runtime`].
#[derive(Clone)]
pub struct ThreadPerCore {
    threads: Arc<Threads>,
}

struct Threads {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _alive: watch::Sender<()>,
}

/// The index of a thread, and the number of threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

thread_local! {
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
    /// The tasks of this thread's runtime that it does not wait for.
    static UNAWAITED: Arc<AtomicUsize> = Arc::default();
}

/// Spawns `task` on the current runtime, for as long as that is there: a thread of [`ThreadPerCore`] does not wait for its end.
pub fn spawn_with_runtime(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let unawaited = Unawaited::new();
    let task = tokio::spawn(async move {
        task.await;
        drop(unawaited);
    });
    task.abort_handle()
}

/// One of the tasks that its thread does not wait for.
struct Unawaited(Arc<AtomicUsize>);

impl Unawaited {
    fn new() -> Self {
        let count = UNAWAITED.with(Arc::clone);
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Unawaited {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The interval at which a thread that is to end checks whether tasks are left.
const LOOK: Duration = Duration::from_millis(10);

impl ThreadPerCore {
    /// Starts `count` threads; 0 means the number of processors that the process may use.
    ///
    /// # Errors
    /// The system's, if a thread or a runtime cannot be created.
    pub fn start(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => processors(),
            count => count,
        };
        let (alive, gone) = watch::channel(());
        let start = |index| Place { index, count }.start(gone.clone());
        let handles = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads: Arc::new(Threads { handles, next: AtomicUsize::new(0), _alive: alive }) })
    }

    /// Spawns `task` on the next thread (round-robin).
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.next().spawn(task)
    }

    #[expect(clippy::indexing_slicing, reason = "there is one thread at least")]
    fn next(&self) -> &Handle {
        let Threads { handles, next, .. } = &*self.threads;
        let turn = next.fetch_add(1, Ordering::Relaxed).checked_rem(handles.len()).unwrap_or_default();
        &handles[turn]
    }
}

impl Place {
    /// Returns the thread of [`ThreadPerCore`] that the caller runs on, if it runs on one.
    pub(crate) fn here() -> Option<Self> {
        PLACE.get()
    }

    fn start(self, gone: watch::Receiver<()>) -> io::Result<Handle> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let name = format!("core-{}", self.index);
        thread::Builder::new().name(name).spawn(move || {
            PLACE.set(Some(self));
            run(&runtime, gone);
        })?;
        Ok(handle)
    }
}

/// Returns the number of processors that the process may use.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

fn run(runtime: &Runtime, mut gone: watch::Receiver<()>) {
    runtime.block_on(async {
        while gone.changed().await.is_ok() {}
        let unawaited = UNAWAITED.with(Arc::clone);
        while Handle::current().metrics().num_alive_tasks() > unawaited.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    });
}

impl fmt::Debug for ThreadPerCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPerCore").field("threads", &self.threads.handles.len()).finish_non_exhaustive()
    }
}
