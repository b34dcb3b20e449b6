//! A thread-local pool of IO buffers. A busy connection needs large buffers and an idle one does not, so a
//! buffer that is no longer needed goes to the pool of the current thread, and the next reader or writer there
//! uses it. Memory grows with threads rather than connections, and is still in the processor's cache.

use std::cell::RefCell;

use bytes::BytesMut;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// More than a thread needs at once: tasks take a buffer on one thread and give it on another.
const MAX_POOLED: usize = 16;
/// A smaller buffer costs less to allocate than to keep, or is shared with a message.
const MIN: usize = 16 * 1024;
/// A larger buffer is freed.
const MAX: usize = 128 * 1024;

/// Returns an empty buffer, from the pool if it has one.
pub fn acquire() -> BytesMut {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Puts a buffer into the pool, if its size is useful and no message shares its memory.
pub fn release(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.capacity() <= MAX && buffer.try_reclaim(MIN) {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < MAX_POOLED {
                pool.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX, MAX_POOLED, MIN, acquire, release};
    use bytes::BytesMut;

    /// Returns the capacity that the thread's pool keeps of a released buffer.
    fn kept(buffer: BytesMut) -> usize {
        release(buffer);
        acquire().capacity()
    }

    #[test]
    fn the_buffer_pool_keeps_unshared_buffers_of_a_useful_size() {
        for (capacity, is_kept) in [(MIN - 1, false), (MIN, true), (MAX, true), (MAX + 1, false)] {
            let expected = if is_kept { capacity } else { 0 };
            assert_eq!(kept(BytesMut::with_capacity(capacity)), expected);
        }
        let mut buffer = BytesMut::zeroed(MIN);
        let message = buffer.split_to(1).freeze();
        assert_eq!(kept(buffer), 0, "a message shares its memory");
        drop(message);
    }

    #[test]
    fn the_buffer_pool_returns_empty_buffers() {
        release(BytesMut::zeroed(MIN));
        assert!(acquire().is_empty());
    }

    #[test]
    fn the_buffer_pool_is_bounded() {
        (0..=MAX_POOLED).for_each(|_| release(BytesMut::with_capacity(MIN)));
        let kept = std::iter::repeat_with(acquire).take_while(|buffer| buffer.capacity() > 0).count();
        assert_eq!(kept, MAX_POOLED);
    }
}
