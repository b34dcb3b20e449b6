//! Connects to one of several addresses of a name by RFC 8305 (Happy Eyeballs): the next is tried before the first has timed out.
//! Knows no name resolution and no backoff.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The time between the starts of two attempts.
const STAGGER: Duration = Duration::from_millis(250);

/// Attempts that run at the same time at most.
const MAX_ATTEMPTS: usize = 16;

/// Connects to the first of `addresses` that accepts. Each attempt begins 250 ms after the previous one, earlier if
/// otherwise not all would begin within `limit`, and at once if the previous one has failed. Those that lose are aborted.
///
/// # Errors
/// The error of the last attempt.
pub(super) async fn connect_any(addresses: Vec<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    if let [address] = *addresses {
        return TcpStream::connect(address).await;
    }
    let stagger = stagger(addresses.len(), limit);
    let mut left = VecDeque::from(alternate(addresses));
    // Dropping it aborts the attempts that lost.
    let mut running = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if running.len() < MAX_ATTEMPTS
            && let Some(address) = left.pop_front()
        {
            running.spawn(TcpStream::connect(address));
        }
        let may_begin = !left.is_empty() && running.len() < MAX_ATTEMPTS;
        let pause = async {
            match may_begin {
                true => tokio::time::sleep(stagger).await,
                false => pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = running.join_next() => match ended {
                None => return Err(last),
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last = error,
                Some(Err(error)) => last = error.into(),
            },
            () = pause => {}
        }
    }
}

/// Returns the time between the starts of two of so many attempts.
fn stagger(addresses: usize, limit: Duration) -> Duration {
    let parts = u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    STAGGER.min(limit.checked_div(parts).unwrap_or(STAGGER))
}

/// Alternates between the two address families, beginning with the first address of the resolver.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut other) = (first.into_iter(), other.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), other.next()];
        if pair.iter().all(Option::is_none) {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Returns an address that does not accept: its backlog is full.
    async fn silent() -> (TcpListener, TcpStream, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = TcpStream::connect(address).await.unwrap();
        (listener, queued, address)
    }

    #[tokio::test]
    async fn connect_any_waits_for_the_stagger_of_an_unresponsive_address_only() {
        let (_listener, _queued, silent) = silent().await;
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = live.local_addr().unwrap();
        let refused = "127.0.0.1:1".parse().unwrap();
        let limit = Duration::from_secs(600);
        // Which addresses there are, and whether one is reached.
        let rows = [
            (vec![good], true),
            (vec![silent, good], true),
            (vec![good, silent], true),
            (vec![silent, silent, good], true),
            (vec![refused, silent, good], true),
            (vec![refused, refused], false),
            (vec![], false),
        ];
        for (addresses, reached) in rows {
            let began = Instant::now();
            let connected = connect_any(addresses.clone(), limit).await;
            assert_eq!(connected.is_ok(), reached, "{addresses:?}");
            assert!(connected.is_err() || connected.unwrap().peer_addr().unwrap() == good);
            assert!(began.elapsed() < Duration::from_secs(60), "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn connect_any_tries_all_addresses_within_a_short_limit() {
        let (_listener, _queued, silent) = silent().await;
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut addresses = vec![silent; 9];
        addresses.push(live.local_addr().unwrap());
        assert!(connect_any(addresses, Duration::from_secs(2)).await.is_ok());
        for (addresses, limit, expected) in [(1, 2000, 250), (8, 2000, 250), (10, 2000, 200), (100, 100, 1)] {
            let stagger = stagger(addresses, Duration::from_millis(limit));
            assert_eq!(stagger, Duration::from_millis(expected), "{addresses} within {limit} ms");
        }
    }

    #[test]
    fn connect_any_alternates_address_families() {
        let [a, b]: [SocketAddr; 2] = ["1.1.1.1:1", "2.2.2.2:2"].map(|text| text.parse().unwrap());
        let [c, d]: [SocketAddr; 2] = ["[::1]:1", "[::2]:2"].map(|text| text.parse().unwrap());
        assert_eq!(alternate(vec![c, d, a, b]), [c, a, d, b]);
        assert_eq!(alternate(vec![a, b, c]), [a, c, b]);
    }
}
