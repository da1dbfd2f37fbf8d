use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;

use crate::tls::common_name::Elements;

/// A certificate or credential that expires sooner needs the operator's attention.
pub const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, explicitly tagged; version 1 has none.
const VERSION: u8 = 0xa0;

/// The first and last second, since 1970, in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub begins: i64,
    pub ends: i64,
}

/// Reads the validity without verifying the certificate; `None` if it is unreadable.
#[must_use]
pub fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let mut dates = Elements(dates(certificate)?);
    Some(Validity { begins: second(dates.next()?)?, ends: second(dates.next()?)? })
}

/// Reads the last valid second, since 1970, without verifying the certificate; `None` if it is
/// unreadable.
#[must_use]
pub fn ends_at(certificate: &CertificateDer<'_>) -> Option<i64> {
    second(Elements(dates(certificate)?).nth(1)?)
}

fn dates<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, certificate) = Elements(certificate).next()?;
    let (_, to_be_signed) = Elements(certificate).next()?;
    // Serial number, algorithm, issuer, then the two dates.
    let (_, dates) = Elements(to_be_signed).skip_while(|(tag, _)| *tag == VERSION).nth(3)?;
    Some(dates)
}

fn second((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match (tag, text.get(..2)?.parse::<u8>().ok()?) {
        // The two-digit year is defined in RFC 5280, 4.1.2.5.1.
        (UTC_TIME, 50..) => format!("19{text}"),
        (UTC_TIME, _) => format!("20{text}"),
        (GENERALIZED_TIME, _) => text.to_owned(),
        _ => return None,
    };
    let date = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The expiry of the certificate that a peer showed last. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LatestEnd(Arc<AtomicI64>);

impl LatestEnd {
    pub fn note(&self, ends: Option<i64>) {
        if let Some(ends) = ends {
            self.0.store(ends, Ordering::Relaxed);
        }
    }

    #[must_use]
    pub fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ends| *ends != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::common_name::SEQUENCE;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    }

    #[test]
    fn the_second_date_is_read_in_both_forms() {
        let check = |version: bool, tag: u8, text: &str, expected: Option<i64>| {
            let dates = [element(UTC_TIME, b"200101000000Z"), element(tag, text.as_bytes())].concat();
            let serial = element(2, &[1]);
            let head = if version { element(VERSION, &element(2, &[2])) } else { Vec::new() };
            let (algorithm, issuer) = (element(SEQUENCE, &[]), element(SEQUENCE, &[]));
            let inner = [head, serial, algorithm, issuer, element(SEQUENCE, &dates)].concat();
            let whole = element(SEQUENCE, &element(SEQUENCE, &inner));
            let whole = CertificateDer::from(whole);
            assert_eq!(ends_at(&whole), expected, "{text}");
            let both = expected.map(|ends| Validity { begins: 1_577_836_800, ends });
            assert_eq!(validity(&whole), both, "{text}");
            for cut in 0..whole.len() {
                assert_eq!(ends_at(&CertificateDer::from(&whole[..cut])), None);
            }
        };
        check(true, UTC_TIME, "240201000000Z", Some(1_706_745_600));
        check(false, UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(true, UTC_TIME, "700101000000Z", Some(0));
        check(true, GENERALIZED_TIME, "21200101000000Z", Some(4_733_510_400));
        check(true, GENERALIZED_TIME, "soon", None);
        check(true, 0x02, "240201000000Z", None);
    }
}
