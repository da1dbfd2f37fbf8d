//! The name in a certificate's subject (CN), for certificates without other names.
//!
//! OpenSSL, and so k2hr3_osnl and oslo.messaging, reads the CN of a certificate without
//! `subjectAltName`, as `openssl req -x509 -subj /CN=k2hr3.example` makes it. webpki does not. A CN
//! never contains an address.

use rustls::pki_types::{CertificateDer, ServerName};

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
pub(crate) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

pub(crate) fn covers(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(name) = name else { return false };
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    common_names(certificate.subject()).iter().any(|common| matches(common, name.as_ref()))
}

fn matches(common: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match common.strip_prefix("*.") {
        Some(domain) => name
            .split_once('.')
            .is_some_and(|(_, rest)| domain.contains('.') && rest.eq_ignore_ascii_case(domain)),
        None => common.eq_ignore_ascii_case(name),
    }
}

pub(crate) fn common_names(subject: &[u8]) -> Vec<String> {
    let parts = Elements(subject).filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| Elements(set));
    let pairs = parts.filter(|(tag, _)| *tag == SEQUENCE).map(|(_, pair)| Elements(pair));
    pairs
        .filter_map(|mut pair| {
            let is_name = pair.next()? == (OBJECT_IDENTIFIER, COMMON_NAME);
            match pair.next()? {
                (UTF8_STRING | PRINTABLE_STRING | IA5_STRING, text) if is_name => {
                    String::from_utf8(text.to_vec()).ok()
                }
                _ => None,
            }
        })
        .collect()
}

/// An iterator over consecutive tags and contents, which ends at truncated data.
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => rest.split_first_chunk::<1>().map(|(&[n], rest)| (usize::from(n), rest))?,
            0x82 => rest
                .split_first_chunk::<2>()
                .map(|(&bytes, rest)| (usize::from(u16::from_be_bytes(bytes)), rest))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_openssl_matches_them() {
        let check = |common: &str, name: &str, expected: bool| {
            assert_eq!(matches(common, name), expected, "{common} {name}");
        };
        check("k2hr3.example", "k2hr3.example", true);
        check("K2HR3.example", "k2hr3.EXAMPLE", true);
        check("k2hr3.example", "k2hr3.example.", true);
        check("k2hr3.example", "a.k2hr3.example", false);
        check("example", "k2hr3.example", false);
        check("*.k2hr3.example", "a.k2hr3.example", true);
        check("*.k2hr3.example", "k2hr3.example", false);
        check("*.k2hr3.example", "a.b.k2hr3.example", false);
        check("*.example", "k2hr3.example", false);
        check("*", "localhost", false);
        check("", "localhost", false);
        check("k2hr3.example\0.evil.example", "k2hr3.example", false);
    }

    #[test]
    fn names_are_found_in_subjects() {
        let check =
            |subject: &[u8], expected: &[&str]| assert_eq!(common_names(subject), expected, "{subject:02x?}");
        let of = |tag: u8, identifier: u8, text: &str| {
            let text = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            let pair = [&[OBJECT_IDENTIFIER, 3, 0x55, 0x04, identifier][..], &text].concat();
            let pair = [&[SEQUENCE, u8::try_from(pair.len()).unwrap()], &pair[..]].concat();
            [&[SET, 0x81, u8::try_from(pair.len()).unwrap()], &pair[..]].concat()
        };
        let host = of(UTF8_STRING, 3, "host");
        check(&[], &[]);
        check(&host, &["host"]);
        check(&[of(PRINTABLE_STRING, 10, "company"), host.clone()].concat(), &["host"]);
        check(&[of(IA5_STRING, 3, "a"), host.clone()].concat(), &["a", "host"]);
        check(&of(0x03, 3, "host"), &[]);
        for cut in 0..host.len() {
            check(&host[..cut], &[]);
        }
    }
}
