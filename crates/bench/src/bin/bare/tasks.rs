//! The bare loop with the minimum of an RPC: a task for each caller and for each handler. Senders encode into
//! one buffer under a lock, a writer writes the buffer, a reader wakes the task of a frame. Still no stream
//! state, no limit except backpressure by the writer, no cancels, no errors.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use interop::lab::{Req, Resp};
use interop::tally::{Ran, Tally, print_bench};
use kitex::kitex_thrift::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use ttheader_codec::FrameType;

use crate::args::{BenchArgs, What};
use crate::calls::{request, respond};
use crate::wire::{Frame, Method, take_frame};

/// Backpressure: the number of buffered bytes at which senders wait.
const BATCH: usize = 64 * 1024;
/// The largest number of queued messages of a task.
const INBOX: usize = 64;

/// Bytes to be written, and the tasks that wait for room.
#[derive(Default)]
struct Outbox {
    bytes: Mutex<BytesMut>,
    filled: Notify,
    written: Notify,
}

impl Outbox {
    /// Lets `put` append frames.
    fn send(&self, put: impl FnOnce(&mut BytesMut)) {
        let first = {
            let mut bytes = self.bytes.lock().expect("no task panics under it");
            let first = bytes.is_empty();
            put(&mut bytes);
            first
        };
        if first {
            self.filled.notify_one();
        }
    }

    async fn room(&self) {
        while self.bytes.lock().expect("no task panics under it").len() >= BATCH {
            self.written.notified().await;
        }
    }

    /// Writes forever.
    async fn write(&self, mut socket: OwnedWriteHalf) -> io::Result<()> {
        let mut batch = BytesMut::new();
        loop {
            self.filled.notified().await;
            // Ready tasks may add to the batch first.
            tokio::task::yield_now().await;
            mem::swap(&mut batch, &mut *self.bytes.lock().expect("no task panics under it"));
            socket.write_all(&batch).await?;
            batch.clear();
            self.written.notify_waiters();
        }
    }
}

/// Reads forever; `take` gets each frame.
async fn read(mut socket: OwnedReadHalf, mut take: impl FnMut(Frame)) -> io::Result<()> {
    let mut input = BytesMut::new();
    loop {
        input.reserve(BATCH);
        if socket.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = take_frame(&mut input) {
            take(frame);
        }
    }
}

fn open(socket: TcpStream) -> io::Result<(OwnedReadHalf, Arc<Outbox>)> {
    socket.set_nodelay(true)?;
    let (input, output) = socket.into_split();
    let outbox: Arc<Outbox> = Arc::default();
    let writer = outbox.clone();
    tokio::spawn(async move { writer.write(output).await });
    Ok((input, outbox))
}

/// Serves one connection.
pub(crate) async fn serve(socket: TcpStream) -> io::Result<()> {
    let (input, outbox) = open(socket)?;
    let methods = Arc::new((Method::bidi(), Method::down()));
    let mut handlers: HashMap<i32, mpsc::Sender<Bytes>> = HashMap::new();
    read(input, |Frame { id, frame_type, echo, payload }| match frame_type {
        FrameType::Header => {
            let (sender, inbox) = mpsc::channel(INBOX);
            handlers.insert(id, sender);
            tokio::spawn(handle(id, echo, inbox, methods.clone(), outbox.clone()));
        }
        FrameType::Data => {
            handlers.get(&id).and_then(|handler| handler.try_send(payload).ok()).expect("it has room");
        }
        _ => drop(handlers.remove(&id)),
    })
    .await
}

async fn handle(
    id: i32,
    echo: bool,
    mut inbox: mpsc::Receiver<Bytes>,
    methods: Arc<(Method, Method)>,
    outbox: Arc<Outbox>,
) {
    let (bidi, down) = &*methods;
    if echo {
        outbox.send(|out| bidi.put_bare(id, FrameType::Header, out));
        while let Some(payload) = inbox.recv().await {
            let Req { msg, seq, payload } = Req::decode(payload).expect("the peer is ours");
            outbox.send(|out| bidi.put_data(id, &Resp { msg, seq, payload }, out));
        }
        return;
    }
    let Some(payload) = inbox.recv().await else { return };
    let (words, mut resp) = respond(&Req::decode(payload).expect("the peer is ours"));
    outbox.send(|out| down.put_bare(id, FrameType::Header, out));
    for seq in (0..).take_while(|seq| words.n < 0 || *seq < words.n) {
        resp.seq = Some(seq);
        outbox.room().await;
        outbox.send(|out| down.put_data(id, &resp, out));
    }
    outbox.send(|out| down.put_bare(id, FrameType::Trailer, out));
}

/// Runs a task for each caller and prints the result.
pub(crate) async fn bench(addr: SocketAddr, args: BenchArgs) -> io::Result<()> {
    let (input, outbox) = open(TcpStream::connect(addr).await?)?;
    let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..args.c).map(|_| mpsc::channel(INBOX)).unzip();
    let tallies: Vec<Arc<Tally>> = (0..args.c).map(|_| Arc::default()).collect();
    for (lane, inbox) in receivers.into_iter().enumerate() {
        let (tally, outbox) = (tallies[lane].clone(), outbox.clone());
        tokio::spawn(async move { call(lane, inbox, &outbox, args, &tally).await });
    }
    let lanes = args.c;
    tokio::spawn(read(input, move |frame| {
        let lane = usize::try_from(frame.id - 1).expect("ids are ours") % lanes;
        // Only an endless response can have a full queue: its lost messages are not counted.
        let _ = inboxes[lane].try_send(frame);
    }));
    tokio::time::sleep(Duration::from_secs(args.t)).await;
    let times = tallies.iter().flat_map(|tally| tally.take()).collect();
    let what = format!("{:?}", args.what).to_lowercase();
    print_bench(&Ran { what: &what, tasks: args.c, bytes: args.b, seconds: args.t }, times);
    Ok(())
}

/// One caller.
async fn call(
    lane: usize,
    mut inbox: mpsc::Receiver<Frame>,
    outbox: &Outbox,
    args: BenchArgs,
    tally: &Tally,
) {
    let (method, request) = request(args);
    let id = |number: usize| i32::try_from(lane + 1 + number * args.c).expect("few streams");
    let mut number = 0;
    if args.what != What::Open {
        outbox.send(|out| method.put_bare(id(number), FrameType::Header, out));
    }
    loop {
        let started = Instant::now();
        match args.what {
            What::Echo => outbox.send(|out| method.put_data(id(0), &request, out)),
            What::Down if number > 0 => {}
            What::Down => outbox.send(|out| method.put_data(id(0), &request, out)),
            What::Open => outbox.send(|out| {
                method.put_bare(id(number), FrameType::Header, out);
                method.put_data(id(number), &request, out);
                method.put_bare(id(number), FrameType::Trailer, out);
            }),
        }
        number += 1;
        let end = if args.what == What::Open { FrameType::Trailer } else { FrameType::Data };
        while let Some(Frame { frame_type, payload, .. }) = inbox.recv().await {
            if frame_type == FrameType::Data {
                Resp::decode(payload).expect("the peer is ours");
            }
            if frame_type == end {
                break;
            }
        }
        tally.add(started);
    }
}
