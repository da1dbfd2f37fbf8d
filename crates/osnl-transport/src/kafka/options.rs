//! The options of oslo.messaging's Kafka driver under its own names, checked and typed.
//!
//! They come from the section `[oslo_messaging_kafka]` of a file and from the query of the transport URL, which counts more.
//! Two are osnl's own: `auto_offset_reset` and `partition_assignment_strategy`.

mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use osnl_config::{OptionDef, Value};
use osnl_model::{Secret, SentLogin, TransportUrl, nearest};

pub use self::table::KAFKA_OPTIONS;
use crate::rabbit::options::{OptionError, allowed, each_of_query, read};

/// Options that are set, each with a value of its kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KafkaOptions {
    values: BTreeMap<&'static str, Value>,
    /// The passphrase of the client's key, which no message repeats.
    key_password: Option<Secret>,
}

/// The first message that a group without an offset reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstOffset {
    /// The next one to be published.
    #[default]
    Latest,
    /// The oldest one that is kept.
    Earliest,
}

/// The encryption and login of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityProtocol {
    /// Whether it is encrypted.
    pub tls: bool,
    /// Whether a user logs in.
    pub sasl: bool,
}

impl KafkaOptions {
    /// The section of a configuration file.
    pub const SECTION: &'static str = "oslo_messaging_kafka";

    /// Returns the options that a URL's query sets.
    ///
    /// # Errors
    /// See [`OptionError`]; also those that [`KafkaOptions::check`] finds.
    pub fn from_query(url: &TransportUrl) -> Result<Self, OptionError> {
        let mut options = Self::default();
        options.set_from_query(url)?;
        options.check()?;
        Ok(options)
    }

    /// Lays the options of a URL's query over what is set.
    ///
    /// # Errors
    /// An unknown name, a bad value, a repeated option.
    pub fn set_from_query(&mut self, url: &TransportUrl) -> Result<(), OptionError> {
        each_of_query(url, option, |name, value| self.set(name, value))
    }

    /// Sets one option over whatever it is.
    ///
    /// # Errors
    /// An unknown name, a bad value, or one that osnl does without.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), OptionError> {
        let Some(option) = option(name) else {
            let nearest = nearest(name, KAFKA_OPTIONS.iter().map(|option| option.name));
            return Err(OptionError::Unknown {
                section: Self::SECTION,
                name: Some(name.to_owned()),
                nearest: nearest.and_then(option).map(|option| option.name),
            });
        };
        if option.secret {
            self.key_password = (!text.is_empty()).then(|| Secret::new(text));
            return Ok(());
        }
        let value = read(option.kind, text)
            .ok_or_else(|| OptionError::Value { name: option.name, allowed: allowed(option.kind) })?;
        if let Some(refused) = refusal(&value) {
            return Err(refused);
        }
        self.values.insert(option.name, value);
        Ok(())
    }

    /// Whether what is set fits together.
    ///
    /// # Errors
    /// [`OptionError::Together`].
    pub fn check(&self) -> Result<(), OptionError> {
        let refuse = |names, reason| Err(OptionError::Together { names, reason });
        let has = |name| !self.text(name).is_empty();
        if has("ssl_client_key_file") && !has("ssl_client_cert_file") {
            return refuse("ssl_client_key_file without ssl_client_cert_file", "a key needs its certificate");
        }
        let files = has("ssl_cafile") || has("ssl_client_cert_file");
        if files && !self.security().tls {
            return refuse(
                "ssl_cafile, ssl_client_cert_file, and security_protocol",
                "the connection is not encrypted: set security_protocol = SSL or SASL_SSL",
            );
        }
        Ok(())
    }

    /// Whether the configuration or the URL sets it.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
            || option(name).is_some_and(|o| o.secret) && self.key_password.is_some()
    }

    /// Returns the options that are set, in the order of the table, with their values as text; a secret as `***`.
    pub fn set_options(&self) -> impl Iterator<Item = (&'static OptionDef, String)> {
        KAFKA_OPTIONS.iter().filter(|option| self.is_set(option.name)).map(|option| {
            (option, self.values.get(option.name).map_or_else(|| "***".to_owned(), Value::shown))
        })
    }

    /// Returns the encryption and login of a connection.
    #[must_use]
    pub fn security(&self) -> SecurityProtocol {
        let text = self.text("security_protocol");
        SecurityProtocol { tls: text.ends_with("SSL"), sasl: text.starts_with("SASL") }
    }

    /// Returns the logins that go to a broker in clear. SCRAM does not send the password.
    #[must_use]
    pub fn logins(&self, url: &TransportUrl) -> Vec<SentLogin> {
        let security = self.security();
        let is_sent = url.driver() == "kafka" && security.sasl && self.text("sasl_mechanism") == "PLAIN";
        match is_sent && !security.tls {
            true => {
                crate::logins::in_clear(url, "set security_protocol = SASL_SSL, or a sasl_mechanism of SCRAM")
            }
            false => Vec::new(),
        }
    }

    /// Returns the file of the certificate that we show a broker; `None` without TLS.
    #[must_use]
    pub fn client_certificate(&self) -> Option<PathBuf> {
        let file = self.text("ssl_client_cert_file");
        (self.security().tls && !file.is_empty()).then(|| file.into())
    }

    /// Returns the group of a listener without a pool.
    #[must_use]
    pub fn group(&self) -> &str {
        self.text("consumer_group")
    }

    /// Returns the first message that a group without an offset reads.
    #[must_use]
    pub fn first_offset(&self) -> FirstOffset {
        match self.text("auto_offset_reset") {
            "earliest" => FirstOffset::Earliest,
            _ => FirstOffset::Latest,
        }
    }

    /// Returns the time that a message to be published may wait for others.
    #[must_use]
    pub fn linger(&self) -> Duration {
        let seconds = self.values.get("producer_batch_timeout").and_then(Value::as_seconds);
        Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default()
    }

    /// Returns a number; the option's default if nothing sets it.
    #[must_use]
    pub fn integer(&self, name: &str) -> i64 {
        let set = self.values.get(name).and_then(Value::as_integer);
        set.or_else(|| option(name)?.default?.parse().ok()).unwrap_or_default()
    }

    /// Returns a text; the option's default if nothing sets it.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        let set = self.values.get(name).and_then(Value::as_text);
        set.or_else(|| option(name)?.default).unwrap_or_default()
    }

    /// Returns the passphrase of the client's key.
    #[must_use]
    pub fn key_password(&self) -> Option<&Secret> {
        self.key_password.as_ref()
    }
}

fn option(name: &str) -> Option<&'static OptionDef> {
    KAFKA_OPTIONS.iter().find(|option| option.name == name)
}

/// Words that oslo.messaging passes on to its client library, and that osnl does without.
fn refusal(value: &Value) -> Option<OptionError> {
    let words = "write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
    let refused = |value, reason| Some(OptionError::Refused { name: "sasl_mechanism", value, reason });
    match value.as_text()? {
        "GSSAPI" => refused("GSSAPI", words),
        "OAUTHBEARER" => refused("OAUTHBEARER", words),
        "AWS_MSK_IAM" => refused("AWS_MSK_IAM", words),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
