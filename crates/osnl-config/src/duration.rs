use std::time::Duration;

/// Parses a whole number with a unit (`ms`, `s`, `m`, `h`, `d`); without a unit, seconds.
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

/// Formats for [`parse`], in the largest unit that gives a whole number.
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() > 0 {
        return format!("{}ms", duration.as_millis());
    }
    let units = [("d", 86_400), ("h", 3600), ("m", 60)];
    match units.into_iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        Some((letter, unit)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_as_it_is_read() {
        for text in ["0s", "1s", "90s", "500ms", "1500ms", "5m", "24m", "1h", "30h", "7d", "2147483s"] {
            assert_eq!(shown(parse(text).unwrap()), text);
        }
        assert_eq!(shown(Duration::from_secs(86_400)), "1d");
    }

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
