//! The bounds of the server's messages, checked before the client library holds them: the library would
//! gather a message of any announced length, up to 2 GiB, and answers any request for a password.
//!
//! | the server | its messages are at most |
//! | --- | --- |
//! | has not accepted the login | 8 KiB long |
//! | sends a row | 144 MiB long: the largest `max_body`, and what is beside a body |
//! | sends anything else | 1 MiB long |

use std::io;

use crate::url::AuthMethods;

const BEFORE_LOGIN: usize = 8 << 10;
/// The largest `max_body` is 128 MiB; other daemons may be configured differently.
const ROW: usize = 144 << 20;
const OTHERWISE: usize = 1 << 20;

/// The tags of a row, and of a login request or its end.
const DATA_ROW: u8 = b'D';
const AUTHENTICATION: u8 = b'R';
const HEADER: usize = 5;
const WITH_REQUEST: usize = HEADER + 4;

#[derive(Debug)]
pub(crate) struct ServerFrames {
    methods: AuthMethods,
    is_logged_in: bool,
    was_asked: bool,
    header: [u8; WITH_REQUEST],
    have: usize,
    left: usize,
}

impl ServerFrames {
    pub(crate) fn new(methods: AuthMethods) -> Self {
        Self { methods, is_logged_in: false, was_asked: false, header: Default::default(), have: 0, left: 0 }
    }

    /// # Errors
    /// A message that is too long, or a login request that may not be answered.
    pub(crate) fn inspect(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.header[self.have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            let wanted = if self.header[0] == AUTHENTICATION { WITH_REQUEST } else { HEADER };
            if self.have == HEADER {
                self.length()?;
            }
            if self.have == wanted {
                self.left = self.length()? + 1 - wanted;
                self.have = 0;
                if wanted == WITH_REQUEST {
                    self.login()?;
                }
            }
        }
        Ok(())
    }

    fn length(&self) -> io::Result<usize> {
        let [tag, a, b, c, d, ..] = self.header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let least = if tag == AUTHENTICATION { WITH_REQUEST - 1 } else { HEADER - 1 };
        let most = match (self.is_logged_in, tag) {
            (false, _) => BEFORE_LOGIN,
            (true, DATA_ROW) => ROW,
            (true, _) => OTHERWISE,
        };
        if (least..=most).contains(&length) {
            return Ok(length);
        }
        let when = if self.is_logged_in { "" } else { " before the login" };
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the server announced a message of {length} bytes{when}, allowed are {least} to {most}; is it PostgreSQL?"
            ),
        ))
    }

    fn login(&mut self) -> io::Result<()> {
        let [_, _, _, _, _, request @ ..] = self.header;
        let (is_allowed, method) = match u32::from_be_bytes(request) {
            0 => {
                self.is_logged_in = true;
                (self.was_asked || self.methods.none, "none")
            }
            3 => (self.methods.password, "password"),
            5 => (self.methods.md5, "md5"),
            10 => (self.methods.scram, "scram-sha-256"),
            // The end of SCRAM, or a request that the library refuses.
            _ => return Ok(()),
        };
        self.was_asked = true;
        if is_allowed {
            return Ok(());
        }
        let remedy = match method {
            "password" | "md5" => {
                "set sslmode=verify-full, or password_encryption = scram-sha-256 on the server, or allow it by \
                 require_auth in the URL"
            }
            _ => "allow it by require_auth in the URL, or correct pg_hba.conf",
        };
        let problem = match method {
            "password" => {
                "the server asks for the password in clear, and is another machine whose certificate is not checked, \
                 or require_auth does not name it"
            }
            "md5" => {
                "the server asks for an MD5 of the password, and is another machine whose certificate is not checked, \
                 or require_auth does not name it"
            }
            "none" => "the server lets in without a login, which require_auth does not allow",
            _ => "the server asks for scram-sha-256, which require_auth does not allow",
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{problem}: nothing was sent; {remedy}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
        let mut message = vec![tag];
        message.extend(length.to_be_bytes());
        message.extend(body);
        message
    }

    fn asked(number: u32) -> Vec<u8> {
        message(AUTHENTICATION, 8, &number.to_be_bytes())
    }

    fn inspect(methods: AuthMethods, bytes: &[u8]) -> Result<(), String> {
        let results = [1, 3, 7, bytes.len()].map(|part| {
            let mut frames = ServerFrames::new(methods);
            bytes.chunks(part).try_for_each(|part| frames.inspect(part)).map_err(|error| error.to_string())
        });
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        let [result, ..] = results;
        result
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_are_held() {
        let ok = asked(0);
        for (before, tag, length, is_fine) in [
            (&[][..], b'E', 8 << 10, true),
            (&[], b'E', (8 << 10) + 1, false),
            (&[], AUTHENTICATION, (8 << 10) + 1, false),
            (&[], AUTHENTICATION, 7, false),
            (&[], b'E', 3, false),
            (&[], b'E', u32::MAX, false),
            (&[], b'E', 1 << 31, false),
            (&ok, DATA_ROW, 144 << 20, true),
            (&ok, DATA_ROW, (144 << 20) + 1, false),
            (&ok, b'T', 1 << 20, true),
            (&ok, b'T', (1 << 20) + 1, false),
            (&ok, b'N', i32::MAX.unsigned_abs(), false),
            (&ok, b'Z', 0, false),
        ] {
            let bytes = [before, &message(tag, length, &[])].concat();
            let said = inspect(AuthMethods::ALL, &bytes);
            assert_eq!(said.is_ok(), is_fine, "{} {length}: {said:?}", tag.escape_ascii());
            if let Err(said) = said {
                assert!(said.contains(&format!("{length} bytes")), "{said}");
            }
        }
        let many =
            [ok, message(b'S', 6, b"ab"), message(b'Z', 5, b"I"), message(b'N', 1 << 30, b"")].concat();
        assert!(inspect(AuthMethods::ALL, &many).is_err());
        assert!(inspect(AuthMethods::ALL, &many[..many.len() - 1]).is_ok());
    }

    #[test]
    fn a_request_for_the_password_is_answered_only_where_it_may_be() {
        let careful = AuthMethods::WITHOUT_PASSWORD;
        for (methods, requests, refusal) in [
            (AuthMethods::ALL, &[3, 0][..], ""),
            (AuthMethods::ALL, &[5, 0], ""),
            (careful, &[10, 11, 12, 0], ""),
            (careful, &[0], ""),
            (careful, &[3], "asks for the password in clear"),
            (careful, &[5], "asks for an MD5"),
            (careful, &[10, 3], "asks for the password in clear"),
            (AuthMethods { none: false, ..careful }, &[0], "lets in without a login"),
            (AuthMethods { none: false, ..careful }, &[10, 12, 0], ""),
            (AuthMethods { scram: false, ..careful }, &[10], "asks for scram-sha-256"),
        ] {
            let bytes: Vec<u8> = requests.iter().flat_map(|number| asked(*number)).collect();
            let said = inspect(methods, &bytes);
            match refusal {
                "" => assert_eq!(said, Ok(()), "{methods:?} {requests:?}"),
                part => {
                    assert!(said.as_ref().is_err_and(|said| said.contains(part)), "{requests:?}: {said:?}")
                }
            }
        }
    }
}
