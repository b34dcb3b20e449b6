//! Reads values of generated types and writes them again, for the program in Go that compares. `modules.rs`, with the
//! types and their table, is generated.

// Random types refer to each other in chains that are longer than rustc follows by itself.
#![recursion_limit = "2048"]

use std::io::{self, Read, Write};

use kitex::bytes::{Bytes, BytesMut};
use kitex::kitex_thrift::Payload;

include!("modules.rs");

type Turn = fn(Bytes) -> Result<Bytes, String>;

fn main() -> io::Result<()> {
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    let mut head = [0; 8];
    while from.read_exact(&mut head).is_ok() {
        let [number, length] = [0, 4].map(|at| u32::from_be_bytes(head[at..at + 4].try_into().unwrap()));
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes)?;
        let (mark, answer) = match TABLE[number as usize](bytes.into()) {
            Ok(written) => (1, written),
            Err(refusal) => (0, refusal.into()),
        };
        to.write_all(&[mark])?;
        to.write_all(&(answer.len() as u32).to_be_bytes())?;
        to.write_all(&answer)?;
        to.flush()?;
    }
    Ok(())
}

fn turn<T: Payload>(bytes: Bytes) -> Result<Bytes, String> {
    let value = T::decode(bytes).map_err(|error| error.to_string())?;
    let mut written = BytesMut::new();
    value.encode(&mut written).map_err(|error| error.to_string())?;
    Ok(written.freeze())
}
