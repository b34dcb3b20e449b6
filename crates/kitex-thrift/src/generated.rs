//! What generated code calls. Owns how containers and boxes grow under a budget; not for people to call, and
//! so no part of the public interface: it changes together with `kitex-codegen`.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    sync::Arc,
};

use bytes::Buf;
use pilota::{
    AHashMap, AHashSet,
    thrift::{
        ApplicationExceptionKind, ProtocolExceptionKind, TInputProtocol, TListIdentifier, TType,
        ThriftException, new_application_exception, new_protocol_exception,
    },
};

type Decoded<T> = Result<T, ThriftException>;

/// Reads a list. The room for all elements is paid for before it is reserved, so an error half way costs
/// nothing more.
pub fn read_list<P: TInputProtocol, T>(
    protocol: &mut P,
    mut element: impl FnMut(&mut P) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let count = protocol.read_list_begin()?.size;
    let mut list = Vec::with_capacity(room(protocol, count, count, size_of::<T>()));
    for _ in 0..count {
        list.push(element(protocol)?);
    }
    protocol.read_list_end()?;
    Ok(list)
}

/// Reads a set.
pub fn read_set<P: TInputProtocol, T: Hash + Eq>(
    protocol: &mut P,
    mut element: impl FnMut(&mut P) -> Decoded<T>,
) -> Decoded<AHashSet<T>> {
    let count = protocol.read_set_begin()?.size;
    let mut set = AHashSet::with_capacity(room(protocol, count, hash_slots(count), hash_slot::<T>()));
    for _ in 0..count {
        set.insert(element(protocol)?);
    }
    protocol.read_set_end()?;
    Ok(set)
}

/// Reads a sorted set.
pub fn read_btree_set<P: TInputProtocol, T: Ord>(
    protocol: &mut P,
    mut element: impl FnMut(&mut P) -> Decoded<T>,
) -> Decoded<BTreeSet<T>> {
    let count = protocol.read_set_begin()?.size;
    room(protocol, count, count, tree_slot::<T>());
    let mut set = BTreeSet::new();
    for _ in 0..count {
        set.insert(element(protocol)?);
    }
    protocol.read_set_end()?;
    Ok(set)
}

/// Reads a map.
pub fn read_map<P: TInputProtocol, K: Hash + Eq, V>(
    protocol: &mut P,
    mut key: impl FnMut(&mut P) -> Decoded<K>,
    mut value: impl FnMut(&mut P) -> Decoded<V>,
) -> Decoded<AHashMap<K, V>> {
    let count = protocol.read_map_begin()?.size;
    let mut map = AHashMap::with_capacity(room(protocol, count, hash_slots(count), hash_slot::<(K, V)>()));
    for _ in 0..count {
        map.insert(key(protocol)?, value(protocol)?);
    }
    protocol.read_map_end()?;
    Ok(map)
}

/// Reads a sorted map.
pub fn read_btree_map<P: TInputProtocol, K: Ord, V>(
    protocol: &mut P,
    mut key: impl FnMut(&mut P) -> Decoded<K>,
    mut value: impl FnMut(&mut P) -> Decoded<V>,
) -> Decoded<BTreeMap<K, V>> {
    let count = protocol.read_map_begin()?.size;
    room(protocol, count, count, tree_slot::<(K, V)>());
    let mut map = BTreeMap::new();
    for _ in 0..count {
        map.insert(key(protocol)?, value(protocol)?);
    }
    protocol.read_map_end()?;
    Ok(map)
}

/// Reads what a recursive type keeps in a box.
pub fn read_box<P: TInputProtocol, T>(
    protocol: &mut P,
    value: impl FnOnce(&mut P) -> Decoded<T>,
) -> Decoded<Box<T>> {
    room(protocol, 1, 1, size_of::<T>());
    value(protocol).map(Box::new)
}

/// Reads what the IDL wants shared (`pilota.rust_wrapper_arc`).
pub fn read_arc<P: TInputProtocol, T>(
    protocol: &mut P,
    value: impl FnOnce(&mut P) -> Decoded<T>,
) -> Decoded<Arc<T>> {
    room(protocol, 1, 1, size_of::<(T, [usize; 2])>());
    value(protocol).map(Arc::new)
}

/// What pilota's trait wants and nothing here calls: payloads are decoded when they are there in full.
pub fn no_async_decode<T>() -> Decoded<T> {
    let text = "payloads are not decoded while they arrive, use kitex_thrift::Payload";
    Err(new_protocol_exception(ProtocolExceptionKind::NotImplemented, text))
}

/// What a call's result that holds neither a value nor an exception ends with.
pub fn missing_result<T>() -> Decoded<T> {
    Err(new_application_exception(
        ApplicationExceptionKind::MISSING_RESULT,
        "result has neither a value nor an exception",
    ))
}

/// Pays for `count` elements of `size` bytes of memory and says for how many to reserve room: all, or none if
/// they are not paid for.
///
/// Pilota's traits have no call for this and decoders are generic over them, so the amount travels through a
/// call that no decoder needs: `list_begin_len`. [`Reader`](crate::Reader) counts it against its budget and,
/// if that is overdrawn, has nothing left to read, so that the first element ends the decoding. With any
/// other protocol the call has no effect.
#[inline]
fn room<P: TInputProtocol>(protocol: &mut P, count: usize, slots: usize, size: usize) -> usize {
    let memory = slots.saturating_mul(size);
    protocol.list_begin_len(TListIdentifier { element_type: TType::Stop, size: memory });
    if protocol.buf().has_remaining() { count } else { 0 }
}

/// The slots that std's hash tables reserve: a power of two, at most 7/8 full, four at least.
fn hash_slots(count: usize) -> usize {
    match count {
        0 => 0,
        _ => count.saturating_mul(8).div_ceil(7).max(4).checked_next_power_of_two().unwrap_or(usize::MAX),
    }
}

/// A slot and its control byte, with the table's own tail (16 bytes) spread over four slots.
fn hash_slot<T>() -> usize {
    size_of::<T>().saturating_add(5)
}

/// A B-tree's nodes are half full at worst, and each has some links.
fn tree_slot<T>() -> usize {
    size_of::<T>().saturating_mul(2).saturating_add(16)
}
