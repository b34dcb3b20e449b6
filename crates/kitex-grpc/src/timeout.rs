//! The value of `grpc-timeout`: at most eight digits and a unit.

use std::time::Duration;

/// The largest number with eight digits.
const MAX: u128 = 99_999_999;

/// Units with their nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Returns `left` in the finest unit that has at most eight digits, rounded up.
pub(crate) fn encode(left: Duration) -> String {
    let nanos = left.as_nanos();
    let fits = |&(unit, size): &(u8, u128)| {
        let count = nanos.div_ceil(size);
        (count <= MAX).then(|| format!("{count}{}", char::from(unit)))
    };
    UNITS.iter().find_map(fits).unwrap_or_else(|| format!("{MAX}H"))
}

/// Returns the time that `value` encodes; `None` if it is malformed.
pub(crate) fn decode(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let (_, size) = UNITS.iter().find(|(name, _)| name == unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let nanos = count.checked_mul(*size)?;
    // Up to eight digits of hours do not fit into a `u64` of nanoseconds.
    let (seconds, rest) = (nanos.checked_div(1_000_000_000)?, nanos.checked_rem(1_000_000_000)?);
    Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(rest).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_is_encoded_in_the_finest_unit_of_eight_digits_rounded_up() {
        let rows = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(97_181_896), "97181896n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_000), "100000u"),
            (Duration::from_nanos(4_988_994_001), "4988995u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
            (Duration::MAX, "99999999H"),
        ];
        for (left, encoded) in rows {
            assert_eq!(encode(left), encoded);
        }
    }

    #[test]
    fn grpc_timeout_is_decoded_or_refused() {
        let rows: [(&[u8], Option<Duration>); 12] = [
            (b"0n", Some(Duration::ZERO)),
            (b"97181896n", Some(Duration::from_nanos(97_181_896))),
            (b"5u", Some(Duration::from_micros(5))),
            (b"5m", Some(Duration::from_millis(5))),
            (b"5S", Some(Duration::from_secs(5))),
            (b"5M", Some(Duration::from_secs(300))),
            (b"99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            (b"", None),
            (b"n", None),
            (b"123456789n", None),
            (b"-1n", None),
            (b"5x", None),
        ];
        for (value, decoded) in rows {
            assert_eq!(decode(value), decoded, "{value:?}");
        }
    }
}
