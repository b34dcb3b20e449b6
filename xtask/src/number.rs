//! Numbers as people read them.

use std::fmt::Display;

/// Returns `1234567` as `1,234,567`, without a fraction.
pub(crate) fn thousands(number: impl Display) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
