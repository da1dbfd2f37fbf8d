//! Unlike a broker, the module keeps the plain passwords of its tests.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::digest;
use ring::{hmac, pbkdf2};

const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac_algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn salted(self, password: &str, salt: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.hmac_algorithm().digest_algorithm().output_len()];
        pbkdf2::derive(algorithm, ROUNDS, salt, password.as_bytes(), &mut salted);
        salted
    }

    fn signature(self, key: &[u8], of: &str) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac_algorithm(), key), of.as_bytes()).as_ref().to_vec()
    }

    fn digest(self, of: &[u8]) -> Vec<u8> {
        digest(self.hmac_algorithm().digest_algorithm(), of).as_ref().to_vec()
    }
}

#[derive(Debug)]
pub(super) struct ScramLogin {
    hash: Hash,
    nonce: String,
    salt: Vec<u8>,
    first: Option<(String, String, String)>,
}

impl ScramLogin {
    pub(super) fn new(hash: Hash) -> Self {
        Self::with(hash, &format!("{:016x}", crate::ports::random()), &crate::ports::random().to_be_bytes())
    }

    fn with(hash: Hash, nonce: &str, salt: &[u8]) -> Self {
        Self { hash, nonce: nonce.to_owned(), salt: salt.to_vec(), first: None }
    }

    pub(super) fn answer(&mut self, message: &[u8], user: &str, password: &str) -> Option<(String, bool)> {
        let message = std::str::from_utf8(message).ok()?;
        match self.first.take() {
            None => self.begin(message, user).map(|answer| (answer, false)),
            Some(first) => self.end(message, &first, password).map(|answer| (answer, true)),
        }
    }

    fn begin(&mut self, message: &str, user: &str) -> Option<String> {
        let (header, bare) = message.split_at(message.match_indices(',').nth(1)?.0 + 1);
        let mut parts = bare.split(',');
        let named = parts.next()?.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
        let nonce = parts.next()?.strip_prefix("r=")?;
        if named != user || !header.starts_with("n,") {
            return None;
        }
        let answer = format!("r={nonce}{},s={},i={ROUNDS}", self.nonce, STANDARD.encode(&self.salt));
        self.first = Some((header.to_owned(), bare.to_owned(), answer.clone()));
        Some(answer)
    }

    fn end(
        &self,
        message: &str,
        (header, bare, answer): &(String, String, String),
        password: &str,
    ) -> Option<String> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let (nonce, _) = answer.split_once(',')?;
        if without_proof != format!("c={},{nonce}", STANDARD.encode(header)) {
            return None;
        }
        let said = format!("{bare},{answer},{without_proof}");
        let salted = self.hash.salted(password, &self.salt);
        let client_key = self.hash.signature(&salted, "Client Key");
        let signature = self.hash.signature(&self.hash.digest(&client_key), &said);
        let expected: Vec<u8> = client_key.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        if STANDARD.decode(proof).ok()? != expected {
            return None;
        }
        let server_key = self.hash.signature(&salted, "Server Key");
        Some(format!("v={}", STANDARD.encode(self.hash.signature(&server_key, &said))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_of_the_standard_is_answered_as_there() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut login = ScramLogin::with(Hash::Sha256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &salt);
        let first = login.answer(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "user", "pencil");
        let expected =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(first, Some((expected.to_owned(), false)));
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let answer = login.answer(last.as_bytes(), "user", "pencil");
        assert_eq!(answer, Some(("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned(), true)));
    }

    #[test]
    fn another_user_and_another_password_are_refused() {
        let refused = |user: &str, password: &str, last: &str| {
            let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
            let mut login = ScramLogin::with(Hash::Sha256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &salt);
            let first = login.answer(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", user, password);
            first.is_none() || login.answer(last.as_bytes(), user, password).is_none()
        };
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert!(!refused("user", "pencil", last));
        assert!(refused("other", "pencil", last));
        assert!(refused("user", "pen", last));
        assert!(refused("user", "pencil", &last.replace("k0,", "k1,")), "an older nonce");
        assert!(refused("user", "pencil", &last.replace("biws", "eSws")), "another header");
    }
}
