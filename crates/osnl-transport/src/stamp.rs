//! Ids and times for a new notification.
//!
//! Ids use the standard library's keyed hash, whose key the operating system provides. A UUID must be unique, not
//! secret, so no further crate is needed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use jiff::Timestamp;
use jiff::tz::TimeZone;

#[must_use]
pub fn message_id() -> String {
    let bits = (random_bits() & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[must_use]
pub fn unique_id() -> String {
    message_id().replace('-', "")
}

#[must_use]
pub fn timestamp() -> String {
    python_utc(Timestamp::now())
}

fn python_utc(time: Timestamp) -> String {
    let utc = time.to_zoned(TimeZone::UTC).datetime();
    let micros = utc.subsec_nanosecond() / 1000;
    let seconds = utc.strftime("%Y-%m-%d %H:%M:%S");
    if micros == 0 { seconds.to_string() } else { format!("{seconds}.{micros:06}") }
}

fn random_bits() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_uuids_of_version_4_and_all_different() {
        let ids: HashSet<String> = (0..10_000).map(|_| message_id()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            let parts: Vec<&str> = id.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
            assert!(parts[2].starts_with('4') && "89ab".contains(&parts[3][..1]), "{id}");
        }
        assert_eq!(unique_id().len(), 32);
    }

    #[test]
    fn times_are_written_as_python_writes_them() {
        for (time, expected) in [
            ("2026-11-20T06:36:22.662155Z", "2026-11-20 06:36:22.662155"),
            ("2026-11-20T06:36:22.000001999Z", "2026-11-20 06:36:22.000001"),
            ("2026-11-20T06:36:22.000000999Z", "2026-11-20 06:36:22"),
            ("2026-01-02T03:04:05+09:00", "2026-01-01 18:04:05"),
        ] {
            assert_eq!(python_utc(time.parse().unwrap()), expected);
        }
    }
}
