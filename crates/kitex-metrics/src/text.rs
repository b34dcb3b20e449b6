//! Prometheus' text format, with the bounds of buckets as Go writes them: series of Kitex and of this crate can only be
//! added up if their `le` labels are equal.

use std::borrow::Cow;

use prometheus::{Registry, TextEncoder};

pub(crate) fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    // Fails only for a family of another collector that is empty; what was written before it is valid.
    let _ = TextEncoder::new().encode_utf8(&registry.gather(), &mut text);
    text.lines().fold(String::with_capacity(text.len()), |mut all, line| {
        all.push_str(&with_bound_as_in_go(line));
        all.push('\n');
        all
    })
}

/// The bound is the last label of a bucket.
const BOUND: &str = ",le=\"";

fn with_bound_as_in_go(line: &str) -> Cow<'_, str> {
    let bound = || {
        let (before, rest) = line.rsplit_once(BOUND)?;
        let (bound, after) = rest.split_once('"')?;
        let bound = as_in_go(bound.parse().ok()?)?;
        Some(format!("{before}{BOUND}{bound}\"{after}"))
    };
    bound().map_or(line.into(), Into::into)
}

/// Returns a number whose exponent Go writes: from a million on, and below a ten-thousandth.
fn as_in_go(number: f64) -> Option<String> {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let sign = if exponent < 0 { '-' } else { '+' };
    (!(-4..6).contains(&exponent)).then(|| format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_buckets_are_written_as_by_go() {
        let rows = [
            ("5000", "5000"),
            ("500000", "500000"),
            ("1000000", "1e+06"),
            ("2500000", "2.5e+06"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("0.00016", "0.00016"),
            ("+Inf", "+Inf"),
        ];
        for (bound, expected) in rows {
            let line = |bound| format!("a_bucket{{method=\"le=\",le=\"{bound}\"}} 1000000");
            assert_eq!(with_bound_as_in_go(&line(bound)), line(expected));
        }
    }
}
