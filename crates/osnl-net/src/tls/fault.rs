//! Faults of certificates that webpki reports by a word that hides the cause.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};
use webpki::EndEntityCert;

use crate::tls::common_name::{Elements, common_names};

const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// The fewest bits of an RSA key whose signatures are verified.
pub(crate) const FEWEST_BITS: usize = 2048;
const LONGEST_CHAIN: usize = 16;
const LONGEST_NAME: usize = 80;

/// A fault of a certificate or its chain that rustls does not name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateFault {
    #[error("the certificate of its issuer {issuer:?} is missing")]
    NoIssuer { issuer: String },
    #[error("the RSA key of the certificate of {owner:?} has {bits} bits")]
    ShortKey { owner: String, bits: usize },
}

impl From<CertificateFault> for Error {
    fn from(fault: CertificateFault) -> Self {
        CertificateError::Other(OtherError(Arc::new(fault))).into()
    }
}

/// Follows the issuers from the server's certificate to the one that is neither sent nor trusted; `None` if the chain
/// ends with a certificate that issued itself, or is trusted.
pub(crate) fn missing_issuer(
    certificate: &CertificateDer<'_>,
    sent: &[CertificateDer<'_>],
    trusted: &[CertificateDer<'_>],
) -> Option<CertificateFault> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let sent: Vec<EndEntityCert<'_>> = sent.iter().flat_map(EndEntityCert::try_from).collect();
    let trusted: Vec<EndEntityCert<'_>> = trusted.iter().flat_map(EndEntityCert::try_from).collect();
    let mut last = &certificate;
    for _ in 0..LONGEST_CHAIN {
        let issuer = last.issuer();
        if issuer == last.subject() || trusted.iter().any(|own| own.subject() == issuer) {
            return None;
        }
        match sent.iter().find(|other| other.subject() == issuer) {
            Some(next) => last = next,
            None => return Some(CertificateFault::NoIssuer { issuer: shown(issuer) }),
        }
    }
    None
}

/// Finds the first certificate whose RSA key is too short for its signatures to be verified.
pub(crate) fn short_key<'a, 'b: 'a>(
    mut certificates: impl Iterator<Item = &'a CertificateDer<'b>>,
) -> Option<CertificateFault> {
    certificates.find_map(|certificate| {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let bits = rsa_bits(&certificate.subject_public_key_info()).filter(|bits| *bits < FEWEST_BITS)?;
        Some(CertificateFault::ShortKey { owner: shown(certificate.subject()), bits })
    })
}

fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (_, key) = Elements(key).next()?;
    let mut parts = Elements(key);
    let (_, algorithm) = parts.next()?;
    if Elements(algorithm).next()?.1 != RSA {
        return None;
    }
    let (BIT_STRING, bits) = parts.next()? else { return None };
    let (_, numbers) = Elements(bits.get(1..)?).next()?;
    let (INTEGER, modulus) = Elements(numbers).next()? else { return None };
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let unused = usize::try_from(modulus[first].leading_zeros()).ok()?;
    Some((modulus.len() - first) * 8 - unused)
}

/// Returns the last CN of a name, which the peer has chosen.
fn shown(name: &[u8]) -> String {
    let name = common_names(name).pop().unwrap_or_else(|| "without a CN".to_owned());
    name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use osnl_testkit::{Authority, Certificate, ServerIdentity};
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn trusted(authority: &Authority) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(authority.file()).unwrap()]
    }

    #[test]
    fn the_issuer_that_is_neither_sent_nor_trusted_is_named() {
        let authority = Authority::named("the root");
        let check = |chain: &[CertificateDer<'_>], trusted: &[CertificateDer<'_>], expected: Option<&str>| {
            let missing = missing_issuer(&chain[0], &chain[1..], trusted);
            let expected = expected.map(|issuer| CertificateFault::NoIssuer { issuer: issuer.to_owned() });
            assert_eq!(missing, expected);
        };
        let chain = |certificate: &Certificate| certificate.chain();
        let behind = chain(&authority.issue_constrained("permitted;DNS:good.example", "a.good.example"));
        assert_eq!(behind.len(), 2);
        check(&behind[..1], &trusted(&authority), Some("constrained"));
        check(&behind, &trusted(&authority), None);
        check(&behind, &[], Some("the root"));
        let right = chain(&authority.issue(&ServerIdentity::LOOPBACK));
        check(&right, &trusted(&authority), None);
        check(&right, &trusted(&Authority::named("another")), Some("the root"));
        check(&chain(&authority.issue(&ServerIdentity::SelfSigned)), &[], None);
    }

    #[test]
    fn a_short_rsa_key_is_found() {
        let authority = Authority::named("the root");
        let short = authority.issue(&ServerIdentity::ShortKey).chain();
        let fault = CertificateFault::ShortKey { owner: "localhost".to_owned(), bits: 1024 };
        assert_eq!(short_key(short.iter()), Some(fault));
        assert_eq!(short_key(authority.issue(&ServerIdentity::LOOPBACK).chain().iter()), None);
    }
}
