//! The words of a request's `msg`: what the handler is to do.

use std::time::Duration;

use kitex::{BizStatusError, Error};

/// The words, read. Unknown ones mean nothing.
#[derive(Debug, Default)]
pub struct Words {
    /// Messages to send; without end if negative.
    pub n: i64,
    /// Pause after each.
    pub delay: Option<Duration>,
    /// Bytes of zeroes in each.
    pub size: usize,
    /// Set header and trailer.
    pub hdr: bool,
    /// End with this business error.
    pub biz: Option<i32>,
    /// End with an error.
    pub fail: bool,
    /// Panic.
    pub panic: bool,
    /// Wait until canceled.
    pub idle: bool,
}

impl Words {
    /// Reads words parted by `;`.
    pub fn parse(msg: &str) -> Self {
        let mut words = Self::default();
        for word in msg.split(';') {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "n" => words.n = value.parse().unwrap_or_default(),
                "delay" => words.delay = value.parse().ok().map(Duration::from_millis),
                "size" => words.size = value.parse().unwrap_or_default(),
                "hdr" => words.hdr = true,
                "biz" => words.biz = value.parse().ok(),
                "fail" => words.fail = true,
                "panic" => words.panic = true,
                "idle" => words.idle = true,
                _ => {}
            }
        }
        words
    }

    /// The error that biz= or fail asks for.
    pub fn error(&self) -> Option<Error> {
        if let Some(code) = self.biz {
            return Some(BizStatusError::new(code, "biz says no").with_extra("k", "v").into());
        }
        self.fail.then(|| Error::other("handler failed"))
    }
}
