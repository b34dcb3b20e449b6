//! The words of a request's `msg`, which tell the handler what to do.

use std::time::Duration;

use kitex::{BizStatusError, Error};

/// The parsed words. Unknown ones are ignored.
#[derive(Debug, Default)]
pub struct Words {
    /// The number of messages to send; unlimited if negative.
    pub n: i64,
    /// The pause after each.
    pub delay: Option<Duration>,
    /// The number of zero bytes in each.
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
    /// More pairs in the header.
    pub headers: Pairs,
    /// More pairs in the trailer.
    pub trailers: Pairs,
    /// More bytes in the text of `fail`.
    pub text: usize,
}

/// Keys with a number, each with a value of so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    count: usize,
    bytes: usize,
}

impl Pairs {
    fn parse(text: &str) -> Self {
        let (count, bytes) = text.split_once('x').unwrap_or((text, ""));
        Self { count: count.parse().unwrap_or_default(), bytes: bytes.parse().unwrap_or_default() }
    }

    /// The pairs, whose keys begin with `key`.
    pub fn each(self, key: &str) -> impl Iterator<Item = (String, String)> {
        (0..self.count).map(move |at| (format!("{key}{at}"), "v".repeat(self.bytes)))
    }
}

impl Words {
    /// Parses words separated by `;`.
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
                "headers" => words.headers = Pairs::parse(value),
                "trailers" => words.trailers = Pairs::parse(value),
                "text" => words.text = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        words
    }

    /// Returns the error for `biz=` or `fail`.
    pub fn error(&self) -> Option<Error> {
        if let Some(code) = self.biz {
            return Some(BizStatusError::new(code, "biz says no").with_extra("k", "v").into());
        }
        self.fail.then(|| Error::other(format!("handler failed{}", "x".repeat(self.text))))
    }
}
