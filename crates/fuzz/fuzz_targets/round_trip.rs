//! Any head, pairs and payload: an encoded frame decodes to the same, or encoding fails with a correct error
//! and writes nothing.
#![no_main]

use bytes::{BufMut, BytesMut};
use fuzz::Script;
use libfuzzer_sys::fuzz_target;
use ttheader_codec::{
    EncodeError, Flags, Head, HeaderTemplate, LENGTH_LEN, Limits, MAX_INFO_LEN, MAX_LENGTH, ProtocolId,
    decode_frame, encode_header, key,
};

const LIMITS: Limits = Limits { frame_len: usize::MAX, header_len: usize::MAX, pairs: usize::MAX };
const BEFORE: &[u8] = b"what stood there";

struct Input {
    head: Head,
    strings: Vec<(Vec<u8>, Vec<u8>)>,
    /// Empty pairs after the strings.
    blanks: usize,
    ints: Vec<(u16, Vec<u8>)>,
    payload: Vec<u8>,
    /// The claimed length of a payload that is missing.
    claimed: usize,
}

fuzz_target!(|input: &[u8]| {
    let input = Input::read(&mut Script::new(input));
    input.check(input.payload.len());
    input.check(input.claimed);
    input.check_template();
});

impl Input {
    fn read(script: &mut Script<'_>) -> Self {
        let head = Head {
            flags: Flags::from_bits(script.short()),
            sequence_id: script.int(),
            protocol_id: script.pick(&[
                ProtocolId::ThriftBinary,
                ProtocolId::ThriftCompact,
                ProtocolId::KitexProtobuf,
                ProtocolId::ThriftStruct,
                ProtocolId::ProtobufStruct,
            ]),
        };
        // Rarely, since they take time.
        let blanks = match script.short() {
            0xffff => 65_536,
            0xfffe => 2_000,
            _ => 0,
        };
        let strings = (0..script.byte() % 8).map(|_| (key(script), script.swollen())).collect();
        let ints = (0..script.byte() % 8).map(|_| (script.short(), script.swollen())).collect();
        let claimed = script.pick(&[0, 0x3fff_ff00, 0x3fff_ffff, 0xffff_fff0, usize::MAX]);
        Self { head, strings, blanks, ints, claimed, payload: script.swollen() }
    }

    fn strings(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let blanks = std::iter::repeat_n((&[][..], &[][..]), self.blanks);
        self.strings.iter().map(|(key, value)| (&key[..], &value[..])).chain(blanks)
    }

    fn ints(&self) -> impl Iterator<Item = (u16, &[u8])> + Clone {
        self.ints.iter().map(|(key, value)| (*key, &value[..]))
    }

    fn check(&self, payload_len: usize) {
        let mut out = BytesMut::from(BEFORE);
        let written = encode_header(&mut out, self.head, self.strings(), self.ints(), payload_len);
        let header = out.split_off(BEFORE.len());
        assert_eq!(out, BEFORE);
        match written {
            Ok(header_len) => {
                assert_eq!(header.len(), header_len);
                let longest = usize::try_from(MAX_LENGTH).unwrap();
                assert!(header_len + payload_len - LENGTH_LEN <= longest);
                if payload_len == self.payload.len() {
                    self.check_decoded(header);
                }
            }
            Err(error) => {
                assert!(header.is_empty());
                self.check_refusal(error, payload_len);
            }
        }
    }

    fn check_decoded(&self, mut wire: BytesMut) {
        wire.put_slice(&self.payload);
        let frame = decode_frame(&mut wire, &LIMITS).expect("a valid frame").expect("a whole frame");
        assert!(wire.is_empty());
        let header = frame.header();
        let head = (header.flags, header.sequence_id, header.protocol_id);
        assert_eq!(head, (self.head.flags, self.head.sequence_id, self.head.protocol_id));
        assert_eq!(frame.payload, self.payload);
        assert!(header.ints().eq(self.ints()), "ints differ");
        // ACL tokens come first, in any order.
        let is_token = |pair: &(&[u8], &[u8])| pair.0 == key::ACL_TOKEN;
        let tokens = self.strings().filter(is_token);
        let strings = tokens.chain(self.strings().filter(|pair| !is_token(pair)));
        assert!(header.strings().eq(strings), "strings differ");
        for (key, _) in self.strings().take(4) {
            assert_eq!(header.string(key), self.strings().filter(|(k, _)| *k == key).last().map(|(_, v)| v));
        }
    }

    fn check_refusal(&self, error: EncodeError, payload_len: usize) {
        let values = self.strings().flat_map(|(key, value)| [key, value]);
        let mut values = values.chain(self.ints().map(|(_, value)| value));
        match error {
            EncodeError::ValueTooLarge { len } => {
                assert!(len > usize::from(u16::MAX) && values.any(|value| value.len() == len));
            }
            EncodeError::TooManyPairs => assert!(self.strings().count() > usize::from(u16::MAX)),
            EncodeError::HeaderTooLarge { len } => assert!(len > MAX_INFO_LEN),
            EncodeError::FrameTooLarge { len } => {
                assert!(len >= payload_len && len - LENGTH_LEN > usize::try_from(MAX_LENGTH).unwrap());
            }
            other => panic!("an unexpected error: {other}"),
        }
    }

    /// Checks that a template writes the same as the encoder.
    fn check_template(&self) {
        let Ok(template) = HeaderTemplate::new(self.head, self.ints()) else { return };
        for payload_len in [self.payload.len(), self.claimed] {
            let (mut one, mut other) = (BytesMut::from(BEFORE), BytesMut::from(BEFORE));
            let written = template.write(self.head.sequence_id, payload_len, &mut one);
            let encoded = encode_header(&mut other, self.head, [], self.ints(), payload_len);
            assert_eq!(written, encoded.map(drop));
            assert_eq!(written, template.check(payload_len));
            assert_eq!(one, other);
        }
    }
}

fn key(script: &mut Script<'_>) -> Vec<u8> {
    if script.byte().is_multiple_of(8) { key::ACL_TOKEN.to_vec() } else { script.swollen() }
}
