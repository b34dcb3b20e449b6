//! The server of the bare loop.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use interop::lab::{Req, Resp};
use interop::line::print;
use kitex::kitex_thrift::Payload;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use ttheader_codec::FrameType;

use crate::args::Shape;
use crate::calls::respond;
use crate::pump::Pump;
use crate::tasks;
use crate::wire::{Frame, Method, take_frame};

/// The number of bytes of an endless response that are encoded at once.
const BATCH: usize = 64 * 1024;

/// Serves until it is killed.
pub(crate) async fn run(addr: SocketAddr, shape: Shape) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    print(&json!({"ev": "listening"}));
    loop {
        let (socket, _) = listener.accept().await?;
        match shape {
            Shape::Loop => tokio::spawn(serve(socket)),
            Shape::Tasks => tokio::spawn(tasks::serve(socket)),
        };
    }
}

async fn serve(socket: TcpStream) -> io::Result<()> {
    let mut pump = Pump::new(socket)?;
    let mut responses = Responses::new();
    while pump.turn(responses.endless.is_some()).await? {
        while let Some(frame) = take_frame(&mut pump.input) {
            responses.take(frame, &mut pump);
        }
        responses.go_on(&mut pump);
    }
    Ok(())
}

struct Responses {
    bidi: Method,
    down: Method,
    endless: Option<(i32, Resp)>,
    /// A task for each idle stream, as a handler would be: for `hold`.
    idle: HashMap<i32, oneshot::Sender<()>>,
}

impl Responses {
    fn new() -> Self {
        Self { bidi: Method::bidi(), down: Method::down(), endless: None, idle: HashMap::new() }
    }

    fn take(&mut self, frame: Frame, pump: &mut Pump) {
        let Frame { id, frame_type, echo, payload } = frame;
        let out = &mut pump.output;
        match (frame_type, echo) {
            (FrameType::Header, true) => self.bidi.put_bare(id, FrameType::Header, out),
            (FrameType::Data, true) => {
                let Req { msg, seq, payload } = Req::decode(payload).expect("the peer is ours");
                self.bidi.put_data(id, &Resp { msg, seq, payload }, out);
            }
            (FrameType::Data, false) => {
                self.respond(id, &Req::decode(payload).expect("the peer is ours"), pump);
            }
            _ => {}
        }
    }

    fn respond(&mut self, id: i32, req: &Req, pump: &mut Pump) {
        let (words, resp) = respond(req);
        if words.idle {
            let (sender, ended) = oneshot::channel();
            tokio::spawn(ended);
            self.idle.insert(id, sender);
            return;
        }
        let out = &mut pump.output;
        self.down.put_bare(id, FrameType::Header, out);
        if words.n < 0 {
            self.endless = Some((id, resp));
        } else {
            self.down.put_data(id, &resp, out);
            self.down.put_bare(id, FrameType::Trailer, out);
        }
    }

    /// Encodes more of the endless response, if there is one and everything before is written.
    fn go_on(&mut self, pump: &mut Pump) {
        let Some((id, resp)) = &mut self.endless else { return };
        while pump.output.len() < BATCH {
            self.down.put_data(*id, resp, &mut pump.output);
            resp.seq = resp.seq.map(|seq| seq + 1);
        }
    }
}
