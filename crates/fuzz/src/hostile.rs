//! A connection with a hostile peer: any frames and any bytes arrive, between any commands of its user.

use std::time::{Duration, Instant};

use kerrors::{Code, Side, StreamError};
use ttheader_codec::Limits;

use crate::frames::hostile_frame;
use crate::{Peer, Script};

/// Frames of a conforming peer are shorter here, so that the limit is also reached.
const LIMITS: Limits = Limits { frame_len: 64 * 1024, header_len: 16 * 1024, pairs: 64 };

impl Peer {
    /// Plays a whole script on a connection of `side`, and checks that nothing is left at its end.
    pub fn play(side: Side, script: &mut Script<'_>) {
        let bounds = Self::bounds(script, LIMITS);
        let mut peer = Self::new(side, bounds, Instant::now());
        while !script.is_empty() {
            peer.meet(script);
        }
        peer.finish_all();
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
