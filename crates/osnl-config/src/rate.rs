use std::fmt;
use std::time::Duration;

use super::duration;

/// The keys of one window must fit into memory.
const MOST: u32 = 1_000_000;
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// A number of resources within a time, written as `20 per 10m`, for guards and expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub keys: u32,
    pub within: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.keys, duration::shown(self.within.max(Duration::from_secs(1))))
    }
}

/// The reasons for which a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateError {
    Form,
    Range,
}

pub fn parse(text: &str) -> Result<Rate, RateError> {
    let mut words = text.splitn(2, " per ").map(str::trim);
    let (Some(keys), Some(within)) = (words.next(), words.next()) else { return Err(RateError::Form) };
    if keys.is_empty() || !keys.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RateError::Form);
    }
    let within = duration::parse(within).ok_or(RateError::Form)?;
    match keys.parse() {
        Ok(keys) if (1..=MOST).contains(&keys) && (Duration::from_secs(1)..=LONGEST).contains(&within) => {
            Ok(Rate { keys, within })
        }
        Ok(_) | Err(_) => Err(RateError::Range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_per_duration() {
        let check = |text: &str, expected: Result<&str, RateError>| {
            let found = parse(text).map(|rate| rate.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text:?}");
        };
        for text in ["100 per 10m", "1 per 1s", "5 per 24h", "1000000 per 7d"] {
            check(text, Ok(if text == "5 per 24h" { "5 per 1d" } else { text }));
        }
        check(" 3  per  90 ", Ok("3 per 90s"));
        check("7 per 3600s", Ok("7 per 1h"));
        for text in
            ["", "100", "per 10m", "100 per", "100 per ", "100/10m", "100 per 10x", "-1 per 1s", "1.5 per 1m"]
        {
            check(text, Err(RateError::Form));
        }
        for text in
            ["0 per 10m", "1000001 per 1m", "99999999999 per 1m", "1 per 0s", "1 per 500ms", "1 per 8d"]
        {
            check(text, Err(RateError::Range));
        }
    }
}
