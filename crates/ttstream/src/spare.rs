//! Buffers that a busy connection needs and an idle one does not: what is done with goes to its thread,
//! and serves whoever reads or writes there next. So memory is as much as threads need, not connections, and
//! it is still in the processor's cache.

use std::cell::RefCell;

use bytes::BytesMut;

thread_local! {
    static SPARES: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// More than a thread needs at once: tasks take a buffer on one thread and give it on another.
const MAX_SPARES: usize = 16;
/// A buffer that is smaller costs less to make than to keep, or is shared with a message.
const MIN: usize = 16 * 1024;
/// A buffer that is larger is given back to the system.
const MAX: usize = 128 * 1024;

/// A buffer with nothing in it.
pub(crate) fn take() -> BytesMut {
    SPARES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub(crate) fn give(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.capacity() <= MAX && buffer.try_reclaim(MIN) {
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < MAX_SPARES {
                spares.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX, MAX_SPARES, MIN, give, take};
    use bytes::BytesMut;

    /// What the thread has of a buffer that was given to it.
    fn kept(buffer: BytesMut) -> usize {
        give(buffer);
        take().capacity()
    }

    #[test]
    fn a_buffer_is_kept_if_it_is_worth_it_and_nobody_elses() {
        for (capacity, is_kept) in [(MIN - 1, false), (MIN, true), (MAX, true), (MAX + 1, false)] {
            let expected = if is_kept { capacity } else { 0 };
            assert_eq!(kept(BytesMut::with_capacity(capacity)), expected);
        }
        let mut buffer = BytesMut::zeroed(MIN);
        let message = buffer.split_to(1).freeze();
        assert_eq!(kept(buffer), 0, "a message stands in it");
        drop(message);
    }

    #[test]
    fn what_was_read_is_gone() {
        give(BytesMut::zeroed(MIN));
        assert!(take().is_empty());
    }

    #[test]
    fn no_more_are_kept_than_are_needed() {
        (0..=MAX_SPARES).for_each(|_| give(BytesMut::with_capacity(MIN)));
        let kept = std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0).count();
        assert_eq!(kept, MAX_SPARES);
    }
}
