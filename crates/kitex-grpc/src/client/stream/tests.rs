//! Interim responses and headers of a stream on which no Recv waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use http::Response;
use kerrors::Side;
use stream_core::call::OutgoingCall;
use stream_core::io::Io;
use stream_core::{MemoryBudget, Method, StreamingMode};

use super::state::ResponseState;
use super::{ClientStream, Link};
use crate::origin::Origins;
use crate::socket::Socket;
use crate::{GrpcConfig, header};

const LONG: Duration = Duration::from_secs(60);
static METHOD: Method = Method::new("Echo", "Bidi", StreamingMode::Bidirectional);

/// Opens a stream on `link`.
fn open(link: &Arc<Link>) -> Arc<ClientStream> {
    let name = Arc::from("");
    let call = OutgoingCall::new(&METHOD, &name, &name);
    let mut requests = link.ask_opener(|requests| requests.clone()).unwrap();
    let request = header::request(&call, None, None).unwrap();
    let (response, send) = requests.send_request(request, false).unwrap();
    link.wire.live.fetch_add(1, Ordering::Relaxed);
    ClientStream::start(link.clone(), &call, response, send)
}

/// Sends so many interim responses on the first stream and, if `answers`, a response; then one on the second stream.
async fn serve(io: Io, interim: usize, answers: bool) {
    let origins = Arc::new(Origins::new(Side::Server));
    let socket = Socket::new(io, BytesMut::new(), LONG, Side::Server, origins);
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let response = |status: u16| Response::builder().status(status).body(()).unwrap();
    let grpc = || {
        let mut response = response(200);
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    };
    let mut first: SendResponse<Bytes> = connection.accept().await.unwrap().unwrap().1;
    let mut second = connection.accept().await.unwrap().unwrap().1;
    (0..interim).for_each(|_| first.send_informational(response(103)).unwrap());
    let sent = answers.then(|| first.send_response(grpc(), false).unwrap());
    second.send_response(grpc(), true).unwrap();
    let end = connection.accept().await;
    drop((first, sent, end));
}

#[tokio::test]
async fn interim_responses_of_a_stream_that_is_not_read_are_taken_from_h2() {
    // Interim responses, whether a response follows, and whether it is taken.
    let rows = [(0, false, false), (1, false, false), (20, false, false), (1, true, true), (20, true, true)];
    for (interim, answers, is_taken) in rows {
        let (client, server) = Io::pair(1 << 16);
        tokio::spawn(serve(server, interim, answers));
        let config = GrpcConfig::default();
        let link = Link::start(client, config, LONG, &MemoryBudget::default()).await.unwrap();
        let [first, second] = [open(&link), open(&link)];
        let read = std::future::poll_fn(|cx| second.poll_recv(cx));
        // It ends without a status: what matters is that it comes after all else.
        let _ = tokio::time::timeout(LONG, read).await.unwrap();
        let mut state = first.state.lock();
        let mut cx = Context::from_waker(Waker::noop());
        match &mut state.incoming {
            ResponseState::Header(response) => {
                let left = std::iter::from_fn(|| match response.poll_informational(&mut cx) {
                    Poll::Ready(Some(interim)) => Some(interim),
                    _ => None,
                });
                assert!(left.count() <= 1, "{interim}");
                assert!(!is_taken, "{interim}");
            }
            _ => assert!(is_taken, "{interim}"),
        }
    }
}
