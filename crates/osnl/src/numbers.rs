//! Numbers and durations in the form of all screens.

use std::time::Duration;

#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// `42 s`, `12 min`, `90 min`, `1.5 s`: a configured duration, in the units of a status and exact.
pub(crate) fn exact(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400, 172_800), ("h", 3600, 7200), ("min", 60, 120)];
    let unit = units.into_iter().find(|(_, unit, from)| seconds >= *from && seconds.is_multiple_of(*unit));
    match unit.filter(|_| duration.subsec_nanos() == 0) {
        Some((name, unit, _)) => format!("{} {name}", seconds / unit),
        None => format!("{} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [(0, "0"), (999, "999"), (1054, "1,054"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn a_configured_duration_has_the_units_of_a_status_and_loses_nothing() {
        let check = |millis, expected: &str| assert_eq!(exact(Duration::from_millis(millis)), expected);
        check(1500, "1.5 s");
        check(60_000, "60 s");
        check(600_000, "10 min");
        check(601_000, "601 s");
        check(7_200_000, "2 h");
        check(5_400_000, "90 min");
        check(7 * 86_400_000, "7 d");
    }
}
