//! `--watch`: the cancellation tree on the standard error while a reply streams. Drawn in place below the
//! reply if that is a terminal, a snapshot again and again if not.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kitex::{inspect, observe};

use super::screen::marks_are_understood;
use crate::show::Paint;
use crate::watch::{Canvas, Names, cancels, seconds, tree};

/// Shows the tree until it is ended or dropped.
pub(super) struct Watch {
    view: Arc<Mutex<View>>,
    /// The thread that draws goes when this does: one that a terminal holds up must not hold up others.
    drawing: SyncSender<()>,
}

struct View {
    names: Names,
    started: Instant,
    /// None if there is no terminal.
    canvas: Option<Canvas>,
    /// Whether the tree was shown while the reply came.
    shown: bool,
    ended: bool,
}

impl Watch {
    /// Looks at the tree again after so many milliseconds, if there are any.
    pub(super) fn asked_for(pause: Option<u64>, names: Names) -> Option<Self> {
        pause.map(|pause| Self::start(Duration::from_millis(pause), names))
    }

    fn start(pause: Duration, names: Names) -> Self {
        let canvas = (io::stderr().is_terminal() && marks_are_understood()).then(Canvas::default);
        let view =
            Arc::new(Mutex::new(View { names, started: Instant::now(), canvas, shown: false, ended: false }));
        let (drawing, ended) = sync_channel(0);
        let watched = view.clone();
        thread::spawn(move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                lock(&watched).draw();
            }
        });
        Self { view, drawing }
    }

    /// Whether what is drawn stands below the text that `show` is about to continue.
    pub(super) fn is_in_place(&self) -> bool {
        lock(&self.view).canvas.is_some()
    }

    /// Lets `show` continue the text.
    pub(super) fn around<T>(&self, show: impl FnOnce() -> T) -> T {
        let mut view = lock(&self.view);
        view.erase();
        let shown = show();
        if view.canvas.is_some() || !view.shown {
            view.shown = true;
            view.draw();
        }
        shown
    }

    /// Takes the tree away, lets `end_line` end the text, and shows the cancels that passed through this
    /// process.
    pub(super) async fn end(self, end_line: impl FnOnce()) {
        let Self { view, drawing } = self;
        drop(drawing);
        {
            // The thread may be about to draw.
            let mut view = lock(&view);
            view.erase();
            view.ended = true;
            end_line();
        }
        let mut seen = observe::cancels();
        loop {
            // A cancel is listed when all below it have been told, so they may be here first.
            tokio::time::sleep(SETTLE).await;
            let now = observe::cancels();
            if now.len() == seen.len() {
                break;
            }
            seen = now;
        }
        let lines = cancels(&seen, &lock(&view).names);
        if !lines.is_empty() {
            print(&format!("\ncancels:\n{}\n", lines.join("\n")));
        }
    }
}

const SETTLE: Duration = Duration::from_millis(50);

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    fn draw(&mut self) {
        if self.ended {
            return;
        }
        let lines = tree(&inspect::tree(), &self.names);
        match &mut self.canvas {
            Some(canvas) => {
                let paint = Paint::new(true);
                let lines: Vec<_> =
                    std::iter::once(String::new()).chain(lines.iter().map(|line| paint.dim(line))).collect();
                print(&canvas.draw(&lines));
            }
            None => {
                let age = seconds(self.started.elapsed());
                print(&format!("after {age}:\n{}\n", lines.join("\n")));
            }
        }
    }

    fn erase(&mut self) {
        if let Some(canvas) = &mut self.canvas {
            print(&canvas.erase());
        }
    }
}

fn print(text: &str) {
    let mut err = io::stderr().lock();
    // Nobody reads any more: there is nobody to tell.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
