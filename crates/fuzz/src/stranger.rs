//! A connection alone with a stranger: any frames and any bytes come in, between anything that its user may
//! wish.

use std::time::{Duration, Instant};

use kerrors::{Code, Side, StreamError};
use ttheader_codec::Limits;

use crate::frames::hostile_frame;
use crate::{Peer, Script};

/// No frame of an honest peer is longer here, so that the limit is met too.
const LIMITS: Limits = Limits { frame_len: 64 * 1024, header_len: 16 * 1024, pairs: 64 };

impl Peer {
    /// Plays a whole script against a connection in the role of `side`; at its end nothing is left.
    pub fn play(side: Side, script: &mut Script<'_>) {
        let bounds = Self::bounds(script, LIMITS);
        let mut peer = Self::new(side, bounds, Instant::now());
        while !script.is_empty() {
            peer.meet(script);
        }
        peer.come_to_rest();
    }

    fn meet(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=3 => self.read(&hostile_frame(script)),
            4 => {
                let len = script.short().into();
                self.read(script.bytes(len));
            }
            5 | 6 => drop(self.write(script.pick(&[usize::MAX, 1, 20, 1000, 30_000]))),
            7 => {
                let time = Duration::from_millis(script.pick(&[1, 9, 30, 500, 30_000]));
                self.advance(self.now + time);
            }
            8 if script.byte() == 0 => self.lose(&StreamError::new(Code::TRANSPORT_CLOSING)),
            _ => self.act(script),
        }
    }
}
