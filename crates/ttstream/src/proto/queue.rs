//! A FIFO queue that counts the bytes charged for its items.

use std::collections::VecDeque;

use bytes::Bytes;

/// An item is charged at least this much, so that empty messages are not free.
const MIN_CHARGE: usize = 256;

/// An item with a length in bytes.
pub(super) trait Item {
    fn len(&self) -> usize;
}

impl Item for Bytes {
    fn len(&self) -> usize {
        Bytes::len(self)
    }
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }
}

impl<T: Item> Queue<T> {
    /// Appends an item; returns its charge in bytes.
    pub(super) fn push(&mut self, item: T) -> usize {
        let charge = charge(&item);
        self.bytes = self.bytes.saturating_add(charge);
        self.items.push_back(item);
        charge
    }

    /// Removes the first item; returns it with its charge in bytes.
    pub(super) fn pop(&mut self) -> Option<(T, usize)> {
        let item = self.items.pop_front()?;
        let charge = charge(&item);
        self.bytes = self.bytes.saturating_sub(charge);
        Some((item, charge))
    }

    /// Removes every item and frees the memory of the queue; returns their charge in bytes.
    pub(super) fn clear(&mut self) -> usize {
        self.items = VecDeque::new();
        std::mem::take(&mut self.bytes)
    }

    /// Returns the charge of all items in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

fn charge(item: &impl Item) -> usize {
    charge_of(item.len())
}

/// Returns what a message of `len` bytes is charged.
pub(super) fn charge_of(len: usize) -> usize {
    len.max(MIN_CHARGE)
}
