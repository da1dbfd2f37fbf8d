//! The certificates that osnl presents. A server that requests no certificate accepts the
//! connection anyway, so a connection does not prove their validity.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use osnl_net::tls::EXPIRES_SOON;

use super::{Probe, RENEW};

pub fn client_certificate_probe(section: &str, file: &Path) -> Option<Probe> {
    let probe = Probe::new(section, format!("client certificate {}", file.display()));
    Some(judged(probe, "servers that ask for a client certificate", dates(file)?, Timestamp::now()))
}

pub fn server_certificate_probe(section: &str, file: &Path) -> Option<Probe> {
    let probe = Probe::new(section, format!("certificate {}", file.display()));
    Some(judged(probe, "clients", dates(file)?, Timestamp::now()))
}

fn dates(file: &Path) -> Option<(i64, i64)> {
    let chain = osnl_net::tls::certificates_from(&[PathBuf::from(file)]).ok()?;
    let times: Vec<_> = chain.iter().filter_map(osnl_net::tls::validity).collect();
    Some((times.iter().map(|time| time.begins).max()?, times.iter().map(|time| time.ends).min()?))
}

fn judged(probe: Probe, peers: &str, (begins, ends): (i64, i64), now: Timestamp) -> Probe {
    let soon = i64::try_from(EXPIRES_SOON.as_secs()).unwrap_or(i64::MAX);
    let now = now.as_second();
    if ends < now {
        let advice = format!("renew it: {peers} refuse this one");
        return probe.failed(format!("expired on {}", day(ends)), Some(&advice));
    }
    if begins > now {
        let advice = "check the clock of this machine, or name the certificate that is in use";
        return probe.failed(format!("is not valid before {}", day(begins)), Some(advice));
    }
    let found = format!("valid until {}", day(ends));
    if ends < now.saturating_add(soon) { probe.warning(found, RENEW) } else { probe.fine(found) }
}

fn day(second: i64) -> String {
    let date: Option<Date> =
        Timestamp::from_second(second).ok().map(|time| time.to_zoned(TimeZone::UTC).date());
    date.map_or_else(|| format!("second {second} of Unix time"), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::ProbeVerdict;

    #[test]
    fn a_client_certificate_counts_between_its_dates() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        for (begins, ends, verdict, found) in [
            ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", ProbeVerdict::Fine, "valid until 2027-01-01"),
            ("2026-01-01T00:00:00Z", "2026-11-20T12:00:00Z", ProbeVerdict::Warning, "valid until 2026-11-20"),
            ("2026-01-01T00:00:00Z", "2026-12-04T11:59:59Z", ProbeVerdict::Warning, "valid until 2026-12-04"),
            ("2026-01-01T00:00:00Z", "2026-12-04T12:00:00Z", ProbeVerdict::Fine, "valid until 2026-12-04"),
            ("2026-01-01T00:00:00Z", "2026-11-20T11:59:59Z", ProbeVerdict::Failed, "expired on 2026-11-20"),
            (
                "2026-11-21T00:00:00Z",
                "2027-01-01T00:00:00Z",
                ProbeVerdict::Failed,
                "is not valid before 2026-11-21",
            ),
        ] {
            let probe = judged(Probe::new("action:a", "c"), "servers", (second(begins), second(ends)), now);
            assert_eq!((probe.verdict, &*probe.found), (verdict, found), "{begins} {ends}");
        }
    }
}
