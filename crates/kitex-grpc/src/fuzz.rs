//! What of this crate reads a peer's bytes, for the fuzz targets: compiled for those and for tests alone.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use kerrors::{Error, Side, StreamError};
use stream_core::{Metadata, Metainfo};

use crate::compression::Compression;
use crate::frames::{Found, Scanner};
use crate::message::Decoder;
use crate::origin::Origins;
use crate::{header, percent, response, timeout, trailer};

/// Returns a header map of the pairs that can stand in one.
fn map(pairs: &[(&[u8], &[u8])]) -> HeaderMap {
    let pair = |(name, value): &(&[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    pairs.iter().filter_map(pair).take(1000).collect()
}

/// Returns what a server reads of a request's headers.
pub fn request(pairs: &[(&[u8], &[u8])]) -> (Metadata, Option<Metainfo>) {
    let headers = map(pairs);
    let _ = (header::is_ours(&headers), header::check_size(&headers, 1000).is_ok());
    (header::metadata(&headers), header::metainfo(&headers))
}

/// Returns service and method that a path names.
pub fn names(path: &str) -> Option<(&str, &str)> {
    header::names(path)
}

/// Returns what a client makes of trailers.
///
/// # Errors
/// How the call has ended.
pub fn trailers(pairs: &[(&[u8], &[u8])]) -> Result<(), Error> {
    trailer::outcome(&map(pairs))
}

/// Returns what a client makes of a response's header.
///
/// # Errors
/// It is none of gRPC.
pub fn response(status: u16, pairs: &[(&[u8], &[u8])]) -> Result<(), Error> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response::check(status, &map(pairs))?;
    Ok(())
}

/// Returns what a `grpc-timeout` says, and that written and read again.
pub fn timeout(value: &[u8]) -> Option<(Duration, Option<Duration>)> {
    let read = timeout::decode(value)?;
    Some((read, timeout::decode(timeout::encode(read).as_bytes())))
}

/// Returns what a `grpc-message` says, and `text` written and read again.
pub fn message(value: &[u8], text: &str) -> (Vec<u8>, Vec<u8>) {
    (percent::decode(value), percent::decode(percent::encode(text).as_bytes()))
}

/// Returns the messages in `bytes`, which come `step` at a time, of a peer that compresses some with gzip, or none.
///
/// # Errors
/// The text of what is wrong with them.
pub fn messages(bytes: &[u8], step: usize, limit: usize, gzip: bool) -> Result<Vec<Bytes>, String> {
    let (mut decoder, mut found) = (Decoder::new(limit, gzip.then_some(Compression::Gzip)), Vec::new());
    for chunk in bytes.chunks(step.max(1)) {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(message) = decoder.next().map_err(|error| error.to_string())? {
            found.push(message.open(limit).map_err(|error| error.to_string())?);
        }
    }
    decoder.finish().map_err(|error| error.to_string())?;
    Ok(found)
}

/// Returns the cancels of streams 1 to 99 in the frames of `bytes`, which come `step` at a time.
pub fn cancels(bytes: &[u8], step: usize) -> Vec<(u32, StreamError)> {
    let (mut scanner, origins) = (Scanner::default(), Origins::new(Side::Server));
    origins.announce();
    for chunk in bytes.chunks(step.max(1)) {
        scanner.scan(chunk, |found| {
            if let Found::Own(stream, payload) = found {
                origins.receive(stream, payload);
            }
        });
    }
    (1..100).filter_map(|stream| Some((stream, origins.take(stream)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that recorded and malformed peers sent, cut and changed at every place.
    fn variants(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..seed.len()).flat_map(|at| {
            let changed = [0, 1, 0x7f, 0xff].map(|byte| {
                let mut bytes = seed.to_vec();
                bytes[at] = byte;
                bytes
            });
            changed.into_iter().chain([seed[..at].to_vec()])
        })
    }

    #[test]
    fn messages_and_frames_read_the_same_however_they_are_parted() {
        let mut frames = bytes::BytesMut::new();
        crate::frames::put(&mut frames, 1, b"\0\0\x2e\xe7\0\x03A,Bwhy");
        crate::frames::put(&mut frames, 3, b"");
        let messages_seed = [0, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 7];
        let mut compressed = bytes::BytesMut::new();
        let message = crate::message::encode(b"message", 100, Some(Compression::Gzip)).unwrap();
        message.put_to(&mut compressed);
        for step in [1, 2, 5, 9, 100] {
            for bytes in variants(&frames) {
                assert_eq!(cancels(&bytes, step), cancels(&bytes, bytes.len()), "{bytes:?} {step}");
            }
            for (seed, gzip) in [(&messages_seed[..], false), (&compressed, true)] {
                for bytes in variants(seed) {
                    let whole = messages(&bytes, bytes.len(), 100, gzip);
                    assert_eq!(messages(&bytes, step, 100, gzip), whole, "{bytes:?} {step}");
                }
            }
        }
        assert_eq!(cancels(&frames, 7).len(), 1);
    }

    #[test]
    fn headers_trailers_and_timeouts_of_any_bytes_are_read_or_refused() {
        let seeds: [(&[u8], &[u8]); 7] = [
            (b"grpc-status", b"13"),
            (b"grpc-message", b"%C3%A9 100%25 %zz%2"),
            (b"biz-status", b"404"),
            (b"biz-extra", b"{\"k\":\"v\"}"),
            (b"grpc-status-details-bin", b"CAkSGA"),
            (b"content-type", b"application/grpc+thrift"),
            (b"rpc-persist-pk", b"pval"),
        ];
        for (at, (_, value)) in seeds.iter().enumerate() {
            for value in variants(value) {
                let mut pairs = seeds;
                pairs[at].1 = &value;
                if let Err(error) = trailers(&pairs) {
                    assert!(error.to_string().chars().all(|letter| !letter.is_control()), "{error:?}");
                }
                let _ = (response(200, &pairs), response(999, &pairs), request(&pairs));
                let _ = (timeout(&value), message(&value, "é"));
            }
        }
    }
}
