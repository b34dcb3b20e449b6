//! Compression of messages: which encoding a header names, and bytes there and back. Owns the bound of what a
//! message may become.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::HeaderValue;

/// An encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// `gzip`.
    Gzip,
}

/// Why bytes cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    TooLarge,
    Malformed(String),
}

/// A name in `grpc-encoding` that is not known.
#[derive(Debug)]
pub(crate) struct UnknownEncoding(String);

impl UnknownEncoding {
    /// What Kitex says of it.
    pub(crate) fn text(&self) -> String {
        format!("no kitex compressor registered found for:{}", self.0)
    }
}

impl Compression {
    pub(crate) fn name(self) -> HeaderValue {
        match self {
            Self::Gzip => HeaderValue::from_static("gzip"),
        }
    }

    /// Returns the encoding of this name; `None` for that which changes nothing.
    pub(crate) fn of(name: &[u8]) -> Result<Option<Self>, UnknownEncoding> {
        match name {
            b"" | b"identity" => Ok(None),
            b"gzip" => Ok(Some(Self::Gzip)),
            name => {
                Err(UnknownEncoding(String::from_utf8_lossy(name.get(..64).unwrap_or(name)).into_owned()))
            }
        }
    }

    pub(crate) fn compress(self, payload: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // A vector takes every write.
        let _ = encoder.write_all(payload);
        encoder.finish().unwrap_or_default()
    }

    /// Returns what `message` becomes.
    ///
    /// # Errors
    /// It becomes more than `limit` bytes, of which no more are made; it is not of this encoding.
    pub(crate) fn decompress(self, message: &[u8], limit: usize) -> Result<Bytes, Fault> {
        let mut payload = Vec::new();
        let past = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = GzDecoder::new(message).take(past).read_to_end(&mut payload);
        match read {
            Ok(len) if len > limit => Err(Fault::TooLarge),
            Ok(_) => Ok(payload.into()),
            Err(error) => Err(Fault::Malformed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_decompresses_within_the_limit_and_a_bomb_does_not() {
        for payload in [vec![], b"hello".to_vec(), vec![0; 1 << 20]] {
            let compressed = Compression::Gzip.compress(&payload);
            assert_eq!(Compression::Gzip.decompress(&compressed, payload.len()).unwrap(), payload);
        }
        let bomb = Compression::Gzip.compress(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 19, "{}", bomb.len());
        let error = Compression::Gzip.decompress(&bomb, 1 << 20).unwrap_err();
        assert_eq!(error, Fault::TooLarge);
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        let mut cut = Compression::Gzip.compress(&[7; 1000]);
        let mut wrong = cut.clone();
        cut.truncate(cut.len() - 4);
        wrong[0] = 0;
        for message in [&b""[..], b"hello, this is no gzip", &cut, &wrong] {
            let error = Compression::Gzip.decompress(message, 1 << 20).unwrap_err();
            assert!(matches!(error, Fault::Malformed(_)), "{error:?}");
        }
    }
}
