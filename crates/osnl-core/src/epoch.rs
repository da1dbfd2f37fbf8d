use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for (at, expected) in [(0, 0), (1, 1), (-5, 0), (1_790_000_000_123, 1_790_000_000_123)] {
            assert_eq!(millis(from_millis(at)), expected);
        }
    }
}
