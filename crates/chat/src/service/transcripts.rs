//! Transcripts of replies, complete or canceled, one file each. Owns the files and the thread that writes
//! them: no handler waits for a disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use thiserror::Error;

/// A reply with its question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transcript {
    pub(super) prompt: String,
    /// The tokens made so far.
    pub(super) reply: String,
    pub(super) tokens: u64,
    /// The error that ended it; `None` if it is complete.
    pub(super) error: Option<String>,
}

/// The destination of transcripts: none, or the files of a folder.
#[derive(Debug, Default)]
pub struct Transcripts(Option<Folder>);

/// The error of a folder that cannot be written.
#[derive(Debug, Error)]
#[error("cannot write transcripts to {} ({source}): choose another folder with --transcripts", path.display())]
pub struct TranscriptError {
    path: PathBuf,
    source: io::Error,
}

impl Transcripts {
    /// Returns a destination that writes nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns a destination that writes one file per reply into `folder`, which is created if it is missing.
    /// Dropping the last owner waits until queued transcripts are written.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn folder(folder: impl Into<PathBuf>) -> Result<Self, TranscriptError> {
        let path = folder.into();
        match Folder::open(&path) {
            Ok(folder) => Ok(Self(Some(folder))),
            Err(source) => Err(TranscriptError { path, source }),
        }
    }

    /// Queues a transcript and returns its path. `None` if it is not written.
    pub(super) fn keep(&self, transcript: Transcript) -> Option<PathBuf> {
        self.0.as_ref().and_then(|folder| folder.keep(transcript))
    }
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    kept: AtomicU64,
    queue: Option<SyncSender<(PathBuf, Transcript)>>,
    writer: Option<JoinHandle<()>>,
}

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let probe = path.join(format!(".{}.probe", std::process::id()));
        fs::write(&probe, "")?;
        fs::remove_file(&probe)?;
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let writer = thread::Builder::new().name("transcripts".into()).spawn(move || write_all(&receiver))?;
        Ok(Self { path: path.to_owned(), kept: AtomicU64::new(1), queue: Some(sender), writer: Some(writer) })
    }

    fn keep(&self, transcript: Transcript) -> Option<PathBuf> {
        let file = self.path.join(self.next_name());
        let sent = self.queue.as_ref().map(|queue| queue.try_send((file.clone(), transcript)));
        if sent.is_some_and(|sent| sent.is_ok()) {
            return Some(file);
        }
        eprintln!("chat: {} is lost: the disk is slower than the model", file.display());
        None
    }

    /// Returns a name that is unique, also among earlier runs, and ordered by time.
    fn next_name(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        format!("{now}-{}-{number}.json", std::process::id())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Without a sender the thread ends after the queued transcripts.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // It does not panic; if it did, nothing could be done here.
            let _ = writer.join();
        }
    }
}

fn write_all(queue: &Receiver<(PathBuf, Transcript)>) {
    for (file, transcript) in queue {
        if let Err(error) = write(&file, &transcript) {
            eprintln!("chat: cannot write {}: {error}", file.display());
        }
    }
}

/// Writes to a temporary file and renames it, so that no partial file is ever read.
fn write(file: &Path, transcript: &Transcript) -> io::Result<()> {
    let Transcript { prompt, reply, tokens, error } = transcript;
    let whole = error.is_none();
    let json = json!({ "prompt": prompt, "reply": reply, "tokens": tokens, "whole": whole, "error": error });
    let unfinished = file.with_extension("part");
    fs::write(&unfinished, format!("{json:#}\n"))?;
    fs::rename(unfinished, file)
}

const MAX_WAITING: usize = 64;
