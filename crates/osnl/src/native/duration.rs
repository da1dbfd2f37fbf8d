//! `30`, `30s`, `500ms`, `5m`, `24h`, `7d`.

use std::time::Duration;

/// A whole number with a unit (`ms`, `s`, `m`, `h`, `d`); without one, seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text:?}");
        };
        check("30", Some(30_000));
        check("30s", Some(30_000));
        check(" 5 m ", Some(300_000));
        check("24h", Some(86_400_000));
        check("7d", Some(604_800_000));
        check("500ms", Some(500));
        for bad in ["", "s", "1.5h", "-1", "5 minutes", "5M", "99999999999999999999", "300000000000000000d"] {
            check(bad, None);
        }
    }
}
