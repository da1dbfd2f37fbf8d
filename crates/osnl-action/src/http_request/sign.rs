//! Standard Webhooks: a receiver with the shared secret can verify that a request is authentic,
//! complete, and recent.
//!
//! Three headers, by the specification (standardwebhooks.com):
//!
//! - `webhook-id`: the idempotency key, the same in every attempt. A full stop becomes `%2E`, since
//!   full stops separate the signed parts;
//! - `webhook-timestamp`: seconds since 1970, of this attempt;
//! - `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. During a
//!   rotation each secret has a signature, separated by blanks.
//!
//! A secret is `whsec_` and base64 of 24 to 64 bytes.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use osnl_net::http::HeaderMap;
use osnl_net::http::header::{HeaderName, HeaderValue};
use ring::hmac;

const PREFIX: &str = "whsec_";
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

pub(super) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The keys of `signing_secret`; each makes a signature of its own.
#[derive(Clone)]
pub(super) struct Signer {
    keys: Vec<hmac::Key>,
}

/// The reason why a text is not a secret of Standard Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretError {
    #[error("does not begin with whsec_")]
    Prefix,
    #[error("is not base64 after whsec_")]
    Base64,
    #[error("does not have 24 to 64 bytes after whsec_")]
    Length,
}

impl Signer {
    pub(super) fn parse(secrets: &str) -> Result<Self, SecretError> {
        let words = secrets.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty());
        let keys: Vec<hmac::Key> = words.map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(SecretError::Prefix) } else { Ok(Self { keys }) }
    }

    pub(super) fn secrets(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn sign(&self, headers: &mut HeaderMap, id: &HeaderValue, now: SystemTime, body: &[u8]) {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let id = without_stops(id);
        let mut signed = id.as_bytes().to_vec();
        signed.extend_from_slice(format!(".{seconds}.").as_bytes());
        signed.extend_from_slice(body);
        let signatures: Vec<String> =
            self.keys.iter().map(|key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)))).collect();
        headers.insert(ID, id);
        headers.insert(TIMESTAMP, HeaderValue::from(seconds));
        if let Ok(signatures) = HeaderValue::try_from(signatures.join(" ")) {
            headers.insert(SIGNATURE, signatures);
        }
    }
}

/// "It's important that […] the message id […] not be allowed to include any `.`".
pub(super) fn without_stops(id: &HeaderValue) -> HeaderValue {
    let bytes = id.as_bytes().to_vec().into_iter();
    let written = bytes.flat_map(|b| if b == b'.' { b"%2E".to_vec() } else { vec![b] });
    HeaderValue::from_bytes(&written.collect::<Vec<_>>()).unwrap_or_else(|_| id.clone())
}

fn key(word: &str) -> Result<hmac::Key, SecretError> {
    let encoded = word.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
    let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|_| SecretError::Base64)?;
    if !BYTES.contains(&bytes.len()) {
        return Err(SecretError::Length);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn signed(secrets: &str, id: &str, seconds: u64, body: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        Signer::parse(secrets).unwrap().sign(
            &mut headers,
            &HeaderValue::from_str(id).unwrap(),
            at,
            body.as_bytes(),
        );
        [ID, TIMESTAMP, SIGNATURE].map(|name| headers[name].to_str().unwrap().to_owned()).to_vec()
    }

    #[test]
    fn signatures_are_the_specification_s() {
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let found = signed(SECRET, id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(found, [id, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]);
        assert_eq!(signed(SECRET, "a.1.b/c", 1, "")[0], "a%2E1%2Eb/c");
        let first = &found[2];
        assert_ne!(&signed(SECRET, id, 1_614_265_330, r#"{"test": 2432232315}"#)[2], first);
        assert_ne!(&signed(SECRET, id, 1_614_265_331, r#"{"test": 2432232314}"#)[2], first);
        assert_ne!(&signed(SECRET, "msg", 1_614_265_330, r#"{"test": 2432232314}"#)[2], first);
    }

    #[test]
    fn while_secrets_are_changed_there_is_a_signature_of_each() {
        let alone = |secret: &str| signed(secret, "m", 1, "b")[2].clone();
        let both = format!("{SECRET} {OTHER}");
        assert_eq!(signed(&both, "m", 1, "b")[2], format!("{} {}", alone(SECRET), alone(OTHER)));
        assert_eq!(Signer::parse(&format!(" {SECRET},\n{OTHER} ")).unwrap().secrets(), 2);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_never_printed() {
        let check = |text: &str, expected: SecretError| {
            assert_eq!(Signer::parse(text).unwrap_err(), expected, "{text}");
        };
        check("", SecretError::Prefix);
        check("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Prefix);
        check("whsec_ä", SecretError::Base64);
        check("whsec_c2hvcnQ=", SecretError::Length);
        check(&format!("{SECRET} x"), SecretError::Prefix);
        assert_eq!(format!("{:?}", Signer::parse(SECRET).unwrap()), "Signer(1 secrets)");
    }
}
