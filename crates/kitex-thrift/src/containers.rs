//! Lists, sets, maps and boxes. Owns how they grow under a budget and in place; knows no field.
//!
//! The room for all elements is paid for before it is reserved. A container whose elements have another type
//! than in the IDL is skipped and stays empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    sync::Arc,
};

use ahash::{AHashMap, AHashSet};

use crate::{Decoded, Reader, VecMap, VecSet, Wire, Writer, ttype::Type};

/// Up to this size a value may be on the stack while it is read.
const SMALL: usize = 128;

const fn is_small<T>() -> bool {
    size_of::<T>() <= SMALL
}

/// A separate function, so that its stack frame is gone before the value is read.
#[inline(never)]
fn boxed<T: Default>() -> Box<T> {
    Box::default()
}

#[inline(never)]
fn push_default<T: Default>(list: &mut Vec<T>) {
    list.push(T::default());
}

/// Returns what an element takes in memory, a share of `overhead` for its slot included.
const fn cost<T: Wire>(overhead: usize) -> usize {
    size_of::<T>().saturating_add(T::HEAP).saturating_add(overhead)
}

/// Reads the head of a list or set. `None` if its elements are of another type; they are passed over.
fn begin<T: Wire>(from: &mut Reader) -> Decoded<Option<usize>> {
    from.enter()?;
    let element = from.element()?;
    let count = from.elements(element.map(Type::smallest_size))?;
    match element {
        Ok(element) if element != T::TYPE => {
            from.skip_elements(element, count)?;
            from.leave();
            Ok(None)
        }
        _ => Ok(Some(count)),
    }
}

/// Reads elements one by one into a collection that takes them by value.
fn fill<T: Wire>(from: &mut Reader, count: usize, mut insert: impl FnMut(T)) -> Decoded<()> {
    for _ in 0..count {
        if is_small::<T>() {
            small(from, &mut insert)?;
        } else {
            large(from, &mut insert)?;
        }
    }
    from.leave();
    Ok(())
}

#[inline]
fn small<T: Wire>(from: &mut Reader, insert: &mut impl FnMut(T)) -> Decoded<()> {
    let mut value = T::default();
    value.read(from)?;
    insert(value);
    Ok(())
}

#[inline(never)]
fn large<T: Wire>(from: &mut Reader, insert: &mut impl FnMut(T)) -> Decoded<()> {
    let mut value = boxed::<T>();
    value.read(from)?;
    unbox(value, insert);
    Ok(())
}

#[inline(never)]
#[allow(clippy::boxed_local)] // it comes boxed, and is moved out where no decoder is on the stack below
fn unbox<T>(value: Box<T>, insert: &mut impl FnMut(T)) {
    insert(*value);
}

/// Returns the size of a container's elements.
fn sum<'a, T: Wire + 'a>(len: usize, values: impl Iterator<Item = &'a T>) -> usize {
    match T::TYPE.fixed_size() {
        Some(size) => len.saturating_mul(size),
        None => values.fold(0, |sum, value| sum.saturating_add(value.size())),
    }
}

fn write_list<'a, T: Wire + 'a>(to: &mut Writer<'_>, len: usize, values: impl Iterator<Item = &'a T>) {
    to.array([T::TYPE.code()]);
    to.count(len);
    values.for_each(|value| value.write(to));
}

impl<T: Wire> Wire for Vec<T> {
    const TYPE: Type = Type::List;

    fn size(&self) -> usize {
        sum(self.len(), self.iter()).saturating_add(5)
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_list(to, self.len(), self.iter());
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let Some(count) = begin::<T>(from)? else {
            self.clear();
            return Ok(());
        };
        from.charge(count.saturating_mul(cost::<T>(0)))?;
        *self = Self::with_capacity(count);
        for _ in 0..count {
            if is_small::<T>() {
                let mut value = T::default();
                value.read(from)?;
                self.push(value);
            } else {
                push_default(self);
                if let Some(value) = self.last_mut() {
                    value.read(from)?;
                }
            }
        }
        from.leave();
        Ok(())
    }
}

impl<T: Wire> Wire for VecSet<T> {
    const TYPE: Type = Type::Set;

    fn size(&self) -> usize {
        self.0.size()
    }

    fn write(&self, to: &mut Writer<'_>) {
        self.0.write(to);
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        self.0.read(from)
    }
}

impl<T: Wire + Hash + Eq> Wire for AHashSet<T> {
    const TYPE: Type = Type::Set;

    fn size(&self) -> usize {
        sum(self.len(), self.iter()).saturating_add(5)
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_list(to, self.len(), self.iter());
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let Some(count) = begin::<T>(from)? else {
            self.clear();
            return Ok(());
        };
        from.charge(hash_slots(count).saturating_mul(cost::<T>(HASH_SLOT)))?;
        *self = Self::with_capacity(count);
        fill(from, count, |value| {
            self.insert(value);
        })
    }
}

impl<T: Wire + Ord> Wire for BTreeSet<T> {
    const TYPE: Type = Type::Set;

    fn size(&self) -> usize {
        sum(self.len(), self.iter()).saturating_add(5)
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_list(to, self.len(), self.iter());
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let Some(count) = begin::<T>(from)? else {
            self.clear();
            return Ok(());
        };
        from.charge(count.saturating_mul(tree_slot(cost::<T>(0))))?;
        self.clear();
        fill(from, count, |value| {
            self.insert(value);
        })
    }
}

/// Reads the head of a map. `None` if its entries are of other types; they are passed over.
fn begin_map<K: Wire, V: Wire>(from: &mut Reader) -> Decoded<Option<usize>> {
    from.enter()?;
    let (key, value) = (from.element()?, from.element()?);
    let count = from.entries(key, value)?;
    match (key, value) {
        (Ok(key), Ok(value)) if (key, value) != (K::TYPE, V::TYPE) => {
            from.skip_entries(key, value, count)?;
            from.leave();
            Ok(None)
        }
        _ => Ok(Some(count)),
    }
}

/// Reads entries one by one into a collection that takes them by value.
fn fill_map<K: Wire, V: Wire>(from: &mut Reader, count: usize, mut insert: impl FnMut(K, V)) -> Decoded<()> {
    for _ in 0..count {
        if is_small::<K>() && is_small::<V>() {
            small_entry(from, &mut insert)?;
        } else {
            large_entry(from, &mut insert)?;
        }
    }
    from.leave();
    Ok(())
}

#[inline]
fn small_entry<K: Wire, V: Wire>(from: &mut Reader, insert: &mut impl FnMut(K, V)) -> Decoded<()> {
    let mut key = K::default();
    key.read(from)?;
    let mut value = V::default();
    value.read(from)?;
    insert(key, value);
    Ok(())
}

#[inline(never)]
fn large_entry<K: Wire, V: Wire>(from: &mut Reader, insert: &mut impl FnMut(K, V)) -> Decoded<()> {
    let mut key = boxed::<K>();
    key.read(from)?;
    let mut value = boxed::<V>();
    value.read(from)?;
    unbox_entry(key, value, insert);
    Ok(())
}

#[inline(never)]
#[allow(clippy::boxed_local)] // as in `unbox`
fn unbox_entry<K, V>(key: Box<K>, value: Box<V>, insert: &mut impl FnMut(K, V)) {
    insert(*key, *value);
}

fn map_size<'a, K: Wire + 'a, V: Wire + 'a>(
    len: usize,
    keys: impl Iterator<Item = &'a K>,
    values: impl Iterator<Item = &'a V>,
) -> usize {
    sum(len, keys).saturating_add(sum(len, values)).saturating_add(6)
}

fn write_map<'a, K: Wire + 'a, V: Wire + 'a>(
    to: &mut Writer<'_>,
    len: usize,
    entries: impl Iterator<Item = (&'a K, &'a V)>,
) {
    to.array([K::TYPE.code(), V::TYPE.code()]);
    to.count(len);
    for (key, value) in entries {
        key.write(to);
        value.write(to);
    }
}

impl<K: Wire + Hash + Eq, V: Wire> Wire for AHashMap<K, V> {
    const TYPE: Type = Type::Map;

    fn size(&self) -> usize {
        map_size(self.len(), self.keys(), self.values())
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_map(to, self.len(), self.iter());
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let Some(count) = begin_map::<K, V>(from)? else {
            self.clear();
            return Ok(());
        };
        let slot = cost::<K>(HASH_SLOT).saturating_add(cost::<V>(0));
        from.charge(hash_slots(count).saturating_mul(slot))?;
        *self = Self::with_capacity(count);
        fill_map(from, count, |key, value| {
            self.insert(key, value);
        })
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    const TYPE: Type = Type::Map;

    fn size(&self) -> usize {
        map_size(self.len(), self.keys(), self.values())
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_map(to, self.len(), self.iter());
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let Some(count) = begin_map::<K, V>(from)? else {
            self.clear();
            return Ok(());
        };
        let slot = cost::<K>(0).saturating_add(cost::<V>(0));
        from.charge(count.saturating_mul(tree_slot(slot)))?;
        self.clear();
        fill_map(from, count, |key, value| {
            self.insert(key, value);
        })
    }
}

impl<K: Wire, V: Wire> Wire for VecMap<K, V> {
    const TYPE: Type = Type::Map;

    fn size(&self) -> usize {
        map_size(self.len(), self.iter().map(|(key, _)| key), self.iter().map(|(_, value)| value))
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_map(to, self.len(), self.iter().map(|(key, value)| (key, value)));
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let Some(count) = begin_map::<K, V>(from)? else {
            self.clear();
            return Ok(());
        };
        from.charge(count.saturating_mul(cost::<K>(0).saturating_add(cost::<V>(0))))?;
        *self = Self(Vec::with_capacity(count));
        fill_map(from, count, |key, value| self.0.push((key, value)))
    }
}

impl<T: Wire> Wire for Box<T> {
    const TYPE: Type = T::TYPE;
    const HEAP: usize = cost::<T>(0);

    fn size(&self) -> usize {
        T::size(self)
    }

    fn write(&self, to: &mut Writer<'_>) {
        T::write(self, to);
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        T::read(self, from)
    }

    fn reset(&mut self) {
        T::reset(self);
    }

    fn fresh() -> Self {
        boxed()
    }

    fn is_absent(&self) -> bool {
        T::is_absent(self)
    }
}

impl<T: Wire> Wire for Arc<T> {
    const TYPE: Type = T::TYPE;
    const HEAP: usize = cost::<T>(2 * size_of::<usize>());

    fn size(&self) -> usize {
        T::size(self)
    }

    fn write(&self, to: &mut Writer<'_>) {
        T::write(self, to);
    }

    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        // A new `Arc` is not shared.
        match Self::get_mut(self) {
            Some(value) => value.read(from),
            None => {
                let mut value = boxed::<T>();
                value.read(from)?;
                *self = Self::from(value);
                Ok(())
            }
        }
    }

    fn is_absent(&self) -> bool {
        T::is_absent(self)
    }
}

/// Returns the slots that std's hash tables reserve: a power of two, at most 7/8 full, four at least.
fn hash_slots(count: usize) -> usize {
    match count {
        0 => 0,
        _ => count.saturating_mul(8).div_ceil(7).max(4).checked_next_power_of_two().unwrap_or(usize::MAX),
    }
}

/// A slot's control byte, with the table's own tail (16 bytes) spread over four slots.
const HASH_SLOT: usize = 5;

/// A B-tree's nodes are half full at worst, and each has some links.
fn tree_slot(size: usize) -> usize {
    size.saturating_mul(2).saturating_add(16)
}
