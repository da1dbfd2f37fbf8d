//! The name constraints of a certificate's issuers (RFC 5280, 4.2.1.10), applied to the CN.
//!
//! webpki does not return the chain that it verified. So every available certificate counts whose
//! subject is an issuer on the way: an extra certificate may refuse, but no constraint is missed.
//! An unreadable certificate refuses too.

use rustls::pki_types::{CertificateDer, ServerName};

use crate::tls::common_name::{Elements, SEQUENCE};

const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const OCTET_STRING: u8 = 0x04;
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;
const DNS_NAME: u8 = 0x82;
const LONGEST: usize = 16;

/// The encoded parts of a certificate that a check of name constraints reads.
struct CertificateParts<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    extensions: &'a [u8],
}

pub(crate) fn allow(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    trusted: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> bool {
    let ServerName::DnsName(name) = name else { return false };
    let Some(leaf) = parts(certificate) else { return false };
    let Some(mut issuers) = intermediates.iter().map(|issuer| parts(issuer)).collect::<Option<Vec<_>>>()
    else {
        return false;
    };
    // webpki cannot read such a certificate either, so it is skipped.
    issuers.extend(trusted.iter().filter_map(|issuer| parts(issuer)));
    let mut on_the_way: Vec<&[u8]> = vec![leaf.issuer];
    let mut at = 0;
    while let Some(subject) = on_the_way.get(at).copied() {
        at += 1;
        for issuer in issuers.iter().filter(|issuer| issuer.subject == subject) {
            if !permits(issuer.extensions, name.as_ref()).unwrap_or(false) {
                return false;
            }
            if !on_the_way.contains(&issuer.issuer) {
                on_the_way.push(issuer.issuer);
            }
        }
        if at > LONGEST {
            return false;
        }
    }
    true
}

fn parts<'a>(certificate: &'a CertificateDer<'_>) -> Option<CertificateParts<'a>> {
    let (_, certificate) = Elements(certificate).next()?;
    let (_, to_be_signed) = Elements(certificate).next()?;
    // Serial number, algorithm, issuer, validity, subject, key, and optional fields.
    let mut elements = Elements(to_be_signed).skip_while(|(tag, _)| *tag == VERSION).skip(2);
    let (_, issuer) = elements.next()?;
    let (_, subject) = elements.nth(1)?;
    elements.next()?;
    let extensions = elements.find(|(tag, _)| *tag == EXTENSIONS);
    let extensions = match extensions {
        Some((_, wrapped)) => Elements(wrapped).next()?.1,
        None => &[],
    };
    Some(CertificateParts { issuer, subject, extensions })
}

/// Whether an issuer with these extensions permits the name; `None` if its constraints are
/// unreadable.
fn permits(extensions: &[u8], name: &str) -> Option<bool> {
    let constraints = Elements(extensions).find_map(|(_, extension)| {
        let mut fields = Elements(extension);
        let (_, identifier) = fields.next()?;
        // A boolean between identifier and value may mark the extension as critical.
        (identifier == NAME_CONSTRAINTS).then(|| fields.find(|(tag, _)| *tag == OCTET_STRING))
    });
    let Some(constraints) = constraints else { return Some(true) };
    let (tag, constraints) = Elements(constraints?.1).next()?;
    if tag != SEQUENCE {
        return None;
    }
    let (mut permitted, mut excluded) = (Vec::new(), Vec::new());
    for (tag, subtrees) in Elements(constraints) {
        let into = match tag {
            PERMITTED => &mut permitted,
            EXCLUDED => &mut excluded,
            _ => return None,
        };
        for (_, subtree) in Elements(subtrees) {
            if let (DNS_NAME, base) = Elements(subtree).next()? {
                into.push(std::str::from_utf8(base).ok()?);
            }
        }
    }
    let within = |base: &&str| is_within(name, base);
    Some(!excluded.iter().any(within) && (permitted.is_empty() || permitted.iter().any(within)))
}

fn is_within(name: &str, base: &str) -> bool {
    let (name, base) = (name.trim_end_matches('.').to_ascii_lowercase(), base.to_ascii_lowercase());
    match name.strip_suffix(base.as_str()) {
        Some(before) => {
            base.is_empty() || before.is_empty() || base.starts_with('.') || before.ends_with('.')
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_within_constraints_as_rfc_5280_has_it() {
        let check = |name: &str, base: &str, expected: bool| {
            assert_eq!(is_within(name, base), expected, "{name} {base}");
        };
        check("good.example", "good.example", true);
        check("a.GOOD.example.", "good.example", true);
        check("a.good.example", ".good.example", true);
        check("good.example", ".good.example", false);
        check("notgood.example", "good.example", false);
        check("other.test", "good.example", false);
        check("anything", "", true);
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    #[test]
    fn constraints_are_read_and_what_cannot_be_read_refuses() {
        let subtree = |name: &str| element(SEQUENCE, &element(DNS_NAME, name.as_bytes()));
        let address = element(SEQUENCE, &element(0x87, &[10, 0, 0, 0, 255, 0, 0, 0]));
        let extension = |constraints: &[u8]| {
            let value = element(OCTET_STRING, &element(SEQUENCE, constraints));
            let critical = element(1, &[0xff]);
            element(SEQUENCE, &[element(6, NAME_CONSTRAINTS), critical, value].concat())
        };
        let check = |constraints: &[u8], name: &str, expected: Option<bool>| {
            let other = element(SEQUENCE, &[element(6, &[0x55, 0x1d, 0x13]), element(4, &[])].concat());
            assert_eq!(permits(&[other, extension(constraints)].concat(), name), expected, "{name}");
        };
        let permitted = element(PERMITTED, &[subtree("good.example"), address.clone()].concat());
        let excluded = element(EXCLUDED, &subtree("bad.good.example"));
        check(&permitted, "a.good.example", Some(true));
        check(&permitted, "my-role-api.test", Some(false));
        check(&[&permitted[..], &excluded].concat(), "bad.good.example", Some(false));
        check(&excluded, "my-role-api.test", Some(true));
        check(&element(PERMITTED, &address), "my-role-api.test", Some(true));
        check(&element(0xa2, &[]), "a", None);
        assert_eq!(permits(&[], "a"), Some(true));
    }
}
