//! Runtimes of one thread each. What a connection wakes runs on the thread that has read it, so nothing is
//! handed from core to core: no thread is woken, no lock is waited for.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Threads with a runtime each. Clones are the same threads.
///
/// They are for many short messages on many streams, where they do about twice as much as the threads of
/// one runtime. The price: what runs on a core is not taken over by another, so a handler that computes for
/// long holds up every stream of its core, and `tokio::task::block_in_place` panics; such work belongs to
/// `tokio::task::spawn_blocking`.
///
/// A thread ends when the last clone is gone and no task is left on it, so that what a handler has left
/// behind is done to its end.
#[derive(Clone)]
pub struct Cores {
    threads: Arc<Threads>,
}

struct Threads {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _alive: watch::Sender<()>,
}

/// Which of how many threads this is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

thread_local! {
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// How often a thread that is to end looks whether tasks are left.
const LOOK: Duration = Duration::from_millis(10);

impl Cores {
    /// Starts `count` threads; at 0 as many as the process may use processors.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime.
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

    /// Runs `task` on the next thread; they take turns.
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
    /// Where the caller runs; `None` if that is no thread of [`Cores`].
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

/// How many processors the process may use.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

fn run(runtime: &Runtime, mut gone: watch::Receiver<()>) {
    runtime.block_on(async {
        while gone.changed().await.is_ok() {}
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    });
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").field("threads", &self.threads.handles.len()).finish_non_exhaustive()
    }
}
