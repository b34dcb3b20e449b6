//! Frames for the differential test: valid ones, and valid ones that were changed. Owns the choice; each frame depends on
//! seed and number alone.

use kitex::bytes::BytesMut;
use ttheader_codec::{Flags, Head, ProtocolId, encode_header};

/// One generated input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    /// How it was made.
    pub(super) origin: Origin,
}

/// How an input was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By the encoder of `ttheader-codec`: every decoder must accept it.
    Encoder,
    /// By hand, in forms that the encoder does not write.
    Hand,
    /// One of these, with bytes that were changed, cut off or added.
    Mutated,
}

/// Returns the input of this number.
pub(super) fn input(seed: u64, number: u64) -> Input {
    let mut random = Random::new(seed, number);
    let valid = if random.one_in(2) { by_encoder(&mut random) } else { None };
    let (bytes, origin) = match valid {
        Some(bytes) => (bytes, Origin::Encoder),
        None => (by_hand(&mut random), Origin::Hand),
    };
    if random.one_in(3) {
        return Input { bytes, origin };
    }
    Input { bytes: mutated(bytes, &mut random), origin: Origin::Mutated }
}

const PROTOCOLS: [ProtocolId; 5] = [
    ProtocolId::ThriftBinary,
    ProtocolId::ThriftCompact,
    ProtocolId::KitexProtobuf,
    ProtocolId::ThriftStruct,
    ProtocolId::ProtobufStruct,
];

/// Returns nothing if the encoder refuses the pairs: they are too large.
fn by_encoder(random: &mut Random) -> Option<Vec<u8>> {
    let head = Head {
        flags: Flags::from_bits(random.u16()),
        sequence_id: random.i32(),
        protocol_id: *random.pick(&PROTOCOLS)?,
    };
    let (ints, strings) = (ints(random), strings(random));
    let ints = ints.iter().map(|(key, value)| (*key, &value[..]));
    let strings = strings.iter().map(|(key, value)| (&key[..], &value[..]));
    let payload = random.bytes(200);
    let mut out = BytesMut::new();
    encode_header(&mut out, head, strings, ints, payload.len()).ok()?;
    out.extend_from_slice(&payload);
    Some(out.to_vec())
}

fn by_hand(random: &mut Random) -> Vec<u8> {
    // Some protocol ids are unknown.
    let protocol = if random.one_in(12) { random.u8() } else { PROTOCOLS[random.below(5)].as_u8() };
    let mut info = vec![protocol, 0];
    for _ in 0..random.below(5) {
        match random.below(5) {
            0 => info.resize(info.len() + random.below(9), 0),
            1 => {
                info.push(0x11);
                put_value(&mut info, &random.bytes(40));
            }
            2 | 3 => {
                let pairs = ints(random);
                info.push(0x10);
                info.extend_from_slice(&count(pairs.len()));
                for (key, value) in &pairs {
                    info.extend_from_slice(&key.to_be_bytes());
                    put_value(&mut info, value);
                }
            }
            _ => {
                let pairs = strings(random);
                info.push(0x01);
                info.extend_from_slice(&count(pairs.len()));
                for (key, value) in &pairs {
                    put_value(&mut info, key);
                    put_value(&mut info, value);
                }
            }
        }
    }
    info.resize(info.len().next_multiple_of(4) + 4 * random.below(3), 0);
    let payload = random.bytes(200);
    let length = u32::try_from(10 + info.len() + payload.len()).unwrap_or(u32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(&[0x10, 0x00]);
    out.extend_from_slice(&random.u16().to_be_bytes());
    out.extend_from_slice(&random.i32().to_be_bytes());
    out.extend_from_slice(&count(info.len() / 4));
    out.extend(info);
    out.extend(payload);
    out
}

fn count(count: usize) -> [u8; 2] {
    u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes()
}

fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&count(value.len()));
    out.extend_from_slice(value);
}

/// Keys that mean something, and others; a key may come twice.
fn ints(random: &mut Random) -> Vec<(u16, Vec<u8>)> {
    let count = random.pairs();
    let key = |random: &mut Random| match random.below(4) {
        0 => 27,
        1 => 9,
        2 => u16::try_from(random.below(30)).unwrap_or_default(),
        _ => random.u16(),
    };
    (0..count).map(|_| (key(random), random.value())).collect()
}

const KEYS: [&[u8]; 6] = [b"isn", b"ttscp", b"biz-status", b"RPC_PERSIST_k", b"RPC_TRANSIT_gdpr-token", b""];

fn strings(random: &mut Random) -> Vec<(Vec<u8>, Vec<u8>)> {
    let count = random.pairs();
    let key = |random: &mut Random| {
        if random.one_in(2) { KEYS[random.below(6)].to_vec() } else { random.value() }
    };
    (0..count).map(|_| (key(random), random.value())).collect()
}

fn mutated(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        let len = bytes.len();
        let at = random.below(len.max(1)).min(len.saturating_sub(1));
        // Most of a frame is values; the fields of its start are where lengths are.
        let early = random.below(len.clamp(1, 24)).min(len.saturating_sub(1));
        match random.below(9) {
            _ if len == 0 => bytes = random.bytes(64),
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[early] ^= 1 << random.below(8),
            2 => bytes[early] = random.u8(),
            3 => bytes.truncate(at),
            4 => bytes.extend(random.bytes(16)),
            5 => {
                let slice = bytes[at..len.min(at + 16)].to_vec();
                bytes.splice(early..early, slice);
            }
            6 => drop(bytes.drain(at..len.min(at + 1 + random.below(8)))),
            7 => set(&mut bytes, 0, &random.length(len).to_be_bytes()),
            _ => set(&mut bytes, 12, &random.u16().to_be_bytes()[..]),
        }
    }
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// SplitMix64: small, and the same on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
        random.u64();
        random
    }

    fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.u64() % u64::try_from(end).unwrap_or(1).max(1)).unwrap_or_default()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn u8(&mut self) -> u8 {
        self.u64().to_be_bytes()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    fn i32(&mut self) -> i32 {
        let bytes = self.u64().to_be_bytes();
        i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    fn bytes(&mut self, end: usize) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.u8()).collect()
    }

    /// The value of a pair, seldom a long one.
    fn value(&mut self) -> Vec<u8> {
        if self.one_in(400) { vec![self.u8(); self.below(66_000).min(65_535)] } else { self.bytes(12) }
    }

    /// The number of pairs of a block, seldom a large one.
    fn pairs(&mut self) -> usize {
        if self.one_in(800) { self.below(2_500) } else { self.below(5) }
    }

    /// A length field: near that of the frame, or anything.
    fn length(&mut self, len: usize) -> u32 {
        let near = u32::try_from(len + self.below(40)).unwrap_or_default().saturating_sub(20);
        if self.one_in(2) {
            near
        } else {
            self.u64().to_be_bytes()[..4].iter().fold(0, |n, b| n << 8 | u32::from(*b))
        }
    }
}
