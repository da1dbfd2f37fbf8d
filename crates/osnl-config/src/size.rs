/// Parses a whole number with a unit, such as `64KiB`; without a unit, bytes.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().ok()?;
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[must_use]
pub fn shown(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| format!("{bytes} B"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_unit() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(parse(text), expected, "{text:?}");
        check("65536", Some(65536));
        check("64KiB", Some(65536));
        check(" 5 MiB ", Some(5 << 20));
        check("10GiB", Some(10 << 30));
        check("2TiB", Some(2 << 40));
        for bad in ["", "KiB", "1.5GiB", "-1", "10GB", "10k", "99999999999TiB"] {
            check(bad, None);
        }
        assert_eq!([65536, 3 << 30, 1000, 0].map(shown), ["64 KiB", "3 GiB", "1000 B", "0 B"]);
    }
}
