//! The login, by a mechanism that the broker offers in its greeting.
//!
//! Without `rabbit_login_method`: AMQPLAIN, oslo.messaging's default, else PLAIN. A broker without the mechanism gets
//! no password: the connection ends with [`NothingInCommon`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use lapin::auth::AuthProvider;
use lapin::types::{LongString, ShortString};
use osnl_model::Scrubber;

use super::greeting::Greeting;
use super::options::LoginMethod;

const LOCALE: &str = "en_US";
const BY_PASSWORD: [LoginMethod; 2] = [LoginMethod::AmqPlain, LoginMethod::Plain];

/// The login of a connection, whose method depends on the broker's greeting.
#[derive(Clone)]
pub(super) struct BrokerLogin {
    pub(super) configured: Option<LoginMethod>,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) told: Arc<OnceLock<Greeting>>,
}

/// Client and broker have no method of login in common.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NothingInCommon {
    pub(super) reason: String,
    pub(super) remedy: String,
}

impl BrokerLogin {
    pub(super) fn method(&self) -> Result<LoginMethod, NothingInCommon> {
        let chosen = choose(self.configured, self.told.get().unwrap_or(&Greeting::default()));
        chosen.map_err(|none| {
            let reason = self.secrets().scrub(&none.reason).into_owned();
            NothingInCommon { reason, ..none }
        })
    }

    /// Returns the password as a secret. A password that equals the user's name, as guest's does, is not masked, because
    /// the name would be masked too.
    pub(super) fn secrets(&self) -> Scrubber {
        Scrubber::new(Some(self.password.as_str()).filter(|password| *password != self.user))
    }

    fn response(&self, method: LoginMethod) -> Vec<u8> {
        let (user, password) = (self.user.as_bytes(), self.password.as_bytes());
        match method {
            LoginMethod::Plain => [b"\0", user, b"\0", password].concat(),
            LoginMethod::AmqPlain => {
                let long = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
                [b"\x05LOGINS", &long(user)[..], user, b"\x08PASSWORDS", &long(password)[..], password]
                    .concat()
            }
            LoginMethod::External => Vec::new(),
        }
    }
}

/// Chooses as if all were offered, if the greeting is unreadable or names no mechanism.
fn choose(configured: Option<LoginMethod>, greeting: &Greeting) -> Result<LoginMethod, NothingInCommon> {
    let Greeting { mechanisms, locales, .. } = greeting;
    if !locales.is_empty() && !locales.iter().any(|locale| locale == LOCALE) {
        return Err(NothingInCommon {
            reason: format!("the broker offers the locale {}, and not {LOCALE}", locales.join(", ")),
            remedy: format!("let the broker offer the locale {LOCALE}"),
        });
    }
    let is_offered = |method: &LoginMethod| mechanisms.is_empty() || mechanisms.contains(&method.to_string());
    let reason = |wanted: &str| {
        format!("the broker offers the login mechanism {}, and not {wanted}", mechanisms.join(", "))
    };
    let by_password = BY_PASSWORD.into_iter().find(is_offered);
    match configured {
        Some(method) if is_offered(&method) => Ok(method),
        Some(method) => Err(NothingInCommon {
            reason: reason(&method.to_string()),
            remedy: by_password.map_or_else(no_password, |offered| {
                format!(
                    "write rabbit_login_method = {offered}, or let the broker offer {method} (auth_mechanisms in rabbitmq.conf)"
                )
            }),
        }),
        None => by_password.ok_or_else(|| NothingInCommon {
            reason: reason("AMQPLAIN or PLAIN"),
            remedy: if is_offered(&LoginMethod::External) {
                "write rabbit_login_method = EXTERNAL, with ssl = true, ssl_cert_file and ssl_key_file".to_owned()
            } else {
                no_password()
            },
        }),
    }
}

fn no_password() -> String {
    "let the broker offer PLAIN, AMQPLAIN, or EXTERNAL (auth_mechanisms in rabbitmq.conf)".to_owned()
}

impl AuthProvider for BrokerLogin {
    fn mechanism(&self) -> ShortString {
        self.method().map_or_else(|_| ShortString::default(), |method| method.to_string().into())
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        let method = self.method().map_err(|none| none.reason)?;
        Ok(self.response(method).into())
    }
}

impl fmt::Debug for BrokerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerLogin").field("configured", &self.configured).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mechanism_is_one_that_both_sides_have() {
        use LoginMethod::{AmqPlain, External, Plain};
        let check = |configured: Option<LoginMethod>, offered: &str, expected: Result<LoginMethod, &str>| {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            let greeting =
                Greeting { mechanisms: words(offered), locales: words("en_US"), ..Greeting::default() };
            match (choose(configured, &greeting), expected) {
                (Ok(method), Ok(expected)) => assert_eq!(method, expected, "{configured:?} {offered}"),
                (Err(error), Err(expected)) => {
                    assert!(error.remedy.starts_with(expected), "{configured:?} {offered}: {error:?}");
                    assert!(error.reason.contains(&offered.replace(' ', ", ")), "{error:?}");
                }
                (seen, expected) => panic!("{configured:?} {offered}: {seen:?}, not {expected:?}"),
            }
        };
        for (offered, expected) in [
            ("", Ok(AmqPlain)),
            ("PLAIN AMQPLAIN", Ok(AmqPlain)),
            ("PLAIN", Ok(Plain)),
            ("EXTERNAL PLAIN", Ok(Plain)),
            ("EXTERNAL", Err("write rabbit_login_method = EXTERNAL, with ssl")),
            ("RABBIT-CR-DEMO", Err("let the broker offer PLAIN")),
            ("XPLAIN", Err("let the broker offer PLAIN")),
        ] {
            check(None, offered, expected);
        }
        check(Some(AmqPlain), "PLAIN", Err("write rabbit_login_method = PLAIN, or"));
        check(Some(Plain), "AMQPLAIN", Err("write rabbit_login_method = AMQPLAIN, or"));
        check(Some(External), "PLAIN AMQPLAIN", Err("write rabbit_login_method = AMQPLAIN, or"));
        check(Some(External), "PLAIN EXTERNAL", Ok(External));
        check(Some(Plain), "PLAIN AMQPLAIN", Ok(Plain));
        check(Some(Plain), "EXTERNAL", Err("let the broker offer PLAIN"));
    }

    #[test]
    fn a_broker_without_our_locale_is_named() {
        let greeting = Greeting { locales: vec!["de_DE".to_owned()], ..Greeting::default() };
        let error = choose(None, &greeting).unwrap_err();
        assert_eq!(error.reason, "the broker offers the locale de_DE, and not en_US");
    }

    #[test]
    fn the_password_is_not_shown() {
        let login = BrokerLogin {
            configured: None,
            user: "u".to_owned(),
            password: "S3CRET".to_owned(),
            told: Arc::default(),
        };
        assert!(!format!("{login:?}").contains("S3CRET"));
    }
}
