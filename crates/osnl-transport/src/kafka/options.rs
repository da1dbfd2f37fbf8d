//! The options of oslo.messaging's Kafka driver, and the settings of the client library for them.
//!
//! Names, types, and defaults are those of oslo.messaging 18.3.1
//! (`oslo_messaging/_drivers/kafka_driver/kafka_options.py`), and of older releases. A URL's query counts more than the
//! section `[oslo_messaging_kafka]`. osnl's own are `auto_offset_reset` and `partition_assignment_strategy`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use osnl_config::{Kind, OptionDef, Value};
use osnl_model::{Secret, SentLogin, TransportHost, TransportUrl, nearest};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::TransportError;
use crate::rabbit::options::{OptionError, allowed, each_of_query, read};

const MAX: i64 = i32::MAX as i64;
const POOL: &str =
    "Has no effect: it no longer exists in oslo.messaging; there is one connection to each broker.";

/// In the order of oslo.messaging's reference. An empty default is none.
#[rustfmt::skip]
pub static KAFKA_OPTIONS: [OptionDef; 19] = [
    OptionDef::typed("kafka_max_fetch_bytes", Kind::Range(1, 1_000_000_000), "Is the number of bytes that one answer of a broker may have for a partition; a longer message comes all the same.").or("1048576"),
    OptionDef::typed("kafka_consumer_timeout", Kind::Seconds(0.0, 86_400.0), "Has no effect: osnl waits until a message is there.").or("1.0"),
    OptionDef::typed("pool_size", Kind::Range(-MAX, MAX), POOL).or("10"),
    OptionDef::typed("conn_pool_min_size", Kind::Range(-MAX, MAX), POOL).or("2"),
    OptionDef::typed("conn_pool_ttl", Kind::Range(-MAX, MAX), POOL).or("1200"),
    OptionDef::typed("consumer_group", Kind::Form("text"), "Is the consumer group of a listener without a pool.").or("oslo_messaging_consumer"),
    OptionDef::typed("producer_batch_timeout", Kind::Seconds(0.0, 900.0), "Is the time that a published message waits for others, in seconds.").or("0.0"),
    OptionDef::typed("producer_batch_size", Kind::Range(1, MAX), "Is the most published messages that are sent together.").or("16384"),
    OptionDef::typed("compression_codec", Kind::Word(&["none", "gzip", "snappy", "lz4", "zstd"]), "Is the compression of published messages; received ones state their own.").or("none"),
    OptionDef::typed("enable_auto_commit", Kind::Bool, "Has no effect: an offset is committed after everything below it is done, never before.").or("false"),
    OptionDef::typed("max_poll_records", Kind::Range(1, MAX), "Has no effect: the listener's prefetch is the number of messages that may be unfinished.").or("500"),
    OptionDef::typed("security_protocol", Kind::Word(&["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"]), "Decides whether the connection is encrypted, and whether the URL's user logs in.").or("PLAINTEXT"),
    OptionDef::typed("sasl_mechanism", Kind::Word(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM"]), "Is the mechanism of the login.").or("PLAIN"),
    OptionDef::typed("ssl_cafile", Kind::Form("text"), "Is the file of the trusted authorities; without it the system's are trusted.").or(""),
    OptionDef::typed("ssl_client_cert_file", Kind::Form("text"), "Is the certificate to present to the broker.").or(""),
    OptionDef::typed("ssl_client_key_file", Kind::Form("text"), "Is the key of ssl_client_cert_file.").or(""),
    OptionDef::typed("ssl_client_key_password", Kind::Form("text"), "Is the passphrase of ssl_client_key_file.").or("").secret(),
    OptionDef::typed("auto_offset_reset", Kind::Word(&["latest", "earliest"]), "Is the first message that a new group reads: the next one, or the oldest that is kept. It is osnl's own option; oslo.messaging's driver always begins with the next.").or("latest"),
    OptionDef::typed("partition_assignment_strategy", Kind::Word(&["range,roundrobin", "cooperative-sticky"]), "Decides how partitions are shared among the members of a group; all of them need the same. It is osnl's own option; oslo.messaging's driver has range,roundrobin.").or("range,roundrobin"),
];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct KafkaOptions {
    values: BTreeMap<&'static str, Value>,
    key_password: Option<Secret>,
}

/// The first message that a group without an offset reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstOffset {
    #[default]
    Latest,
    Earliest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityProtocol {
    pub tls: bool,
    pub sasl: bool,
}

impl KafkaOptions {
    pub const SECTION: &'static str = "oslo_messaging_kafka";

    pub fn from_query(url: &TransportUrl) -> Result<Self, OptionError> {
        let mut options = Self::default();
        options.set_from_query(url)?;
        options.check()?;
        Ok(options)
    }

    pub fn set_from_query(&mut self, url: &TransportUrl) -> Result<(), OptionError> {
        each_of_query(url, option, |name, value| self.set(name, value))
    }

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
        let is_value = |word: &&str| value.as_text() == Some(*word);
        if let Some(value) = ["GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM"].into_iter().find(is_value) {
            let reason = "write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
            return Err(OptionError::Refused { name: "sasl_mechanism", value, reason });
        }
        self.values.insert(option.name, value);
        Ok(())
    }

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

    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
            || option(name).is_some_and(|o| o.secret) && self.key_password.is_some()
    }

    /// Returns the options that are set, in the order of the table; a secret as `***`.
    pub fn set_options(&self) -> impl Iterator<Item = (&'static OptionDef, String)> {
        KAFKA_OPTIONS.iter().filter(|option| self.is_set(option.name)).map(|option| {
            (option, self.values.get(option.name).map_or_else(|| "***".to_owned(), Value::shown))
        })
    }

    pub fn security(&self) -> SecurityProtocol {
        let text = self.text("security_protocol");
        SecurityProtocol { tls: text.ends_with("SSL"), sasl: text.starts_with("SASL") }
    }

    /// Returns the logins that go to a broker in clear. SCRAM does not send the password.
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

    pub fn client_certificate(&self) -> Option<PathBuf> {
        let file = self.text("ssl_client_cert_file");
        (self.security().tls && !file.is_empty()).then(|| file.into())
    }

    pub fn group(&self) -> &str {
        self.text("consumer_group")
    }

    pub fn first_offset(&self) -> FirstOffset {
        match self.text("auto_offset_reset") {
            "earliest" => FirstOffset::Earliest,
            _ => FirstOffset::Latest,
        }
    }

    pub(crate) fn linger(&self) -> Duration {
        let seconds = self.values.get("producer_batch_timeout").and_then(Value::as_seconds);
        Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default()
    }

    pub fn integer(&self, name: &str) -> i64 {
        let set = self.values.get(name).and_then(Value::as_integer);
        set.or_else(|| option(name)?.default?.parse().ok()).unwrap_or_default()
    }

    pub fn text(&self, name: &str) -> &str {
        let set = self.values.get(name).and_then(Value::as_text);
        set.or_else(|| option(name)?.default).unwrap_or_default()
    }

    pub fn key_password(&self) -> Option<&Secret> {
        self.key_password.as_ref()
    }
}

fn option(name: &str) -> Option<&'static OptionDef> {
    KAFKA_OPTIONS.iter().find(|option| option.name == name)
}

const DEFAULT_PORT: u16 = 9092;
/// The library refuses larger batches.
const MOST_OF_A_BATCH: i64 = 1_000_000;
/// The bytes of one answer to a consumer, unless a partition alone may have more.
const ONE_ANSWER: i64 = 1 << 20;

/// The settings of all clients of one transport. The library's Debug leaves out passwords.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `host:port,host:port`.
    pub(super) brokers: String,
    pub(super) user: Option<String>,
    pub(super) config: ClientConfig,
    /// Settings of a test, over all others.
    pub(super) own: BTreeMap<String, String>,
}

impl Settings {
    pub(super) fn new(url: &TransportUrl, options: &KafkaOptions) -> Result<Self, TransportError> {
        let refused = |problem: &str| {
            Err(TransportError::ListenOptions { problem: format!("transport_url: {problem}") })
        };
        let brokers = url.hosts().iter().map(address).collect::<Vec<_>>().join(",");
        let mut config = ClientConfig::new();
        // Lost connections and failed commits are reported at this level.
        config.set_log_level(RDKafkaLogLevel::Warning);
        config.set("bootstrap.servers", &brokers).set("client.id", "osnl");
        config.set("socket.connection.setup.timeout.ms", "10000").set("socket.timeout.ms", "10000");
        // A lost cluster ends the subscription. The library would hide it by starting again.
        config.set("metadata.recovery.strategy", "none");
        config.set("security.protocol", options.text("security_protocol").to_lowercase());
        let security = options.security();
        let login =
            url.hosts().iter().find_map(|host| Some((host.username.as_ref()?, host.password.as_ref())));
        let user = match (security.sasl, login) {
            (true, Some((name, password))) => {
                config.set("sasl.mechanism", options.text("sasl_mechanism")).set("sasl.username", name);
                config.set("sasl.password", password.map_or("", Secret::expose));
                Some(name.clone())
            }
            (true, None) => return refused("security_protocol asks for a login, and the URL has no user"),
            (false, Some(_)) => {
                return refused(
                    "the URL has a user, and security_protocol no login: write SASL_SSL or SASL_PLAINTEXT",
                );
            }
            (false, None) => None,
        };
        if security.tls {
            for (name, value) in [
                ("ssl.ca.location", options.text("ssl_cafile")),
                ("ssl.certificate.location", options.text("ssl_client_cert_file")),
                ("ssl.key.location", options.text("ssl_client_key_file")),
                ("ssl.key.password", options.key_password().map_or("", Secret::expose)),
            ] {
                if !value.is_empty() {
                    config.set(name, value);
                }
            }
        }
        Ok(Self { brokers, user, config, own: BTreeMap::new() })
    }

    pub(super) fn asks_for_tls(&self) -> bool {
        self.config.get("security.protocol").is_some_and(|protocol| protocol.ends_with("ssl"))
    }

    pub(super) fn client(&self, own: &[(&str, String)]) -> ClientConfig {
        let mut config = self.config.clone();
        config.extend(own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        config.extend(self.own.clone());
        config
    }
}

pub(super) fn of_group(options: &KafkaOptions, group: &str, creates: bool) -> Vec<(&'static str, String)> {
    let of_a_partition = options.integer("kafka_max_fetch_bytes");
    vec![
        ("group.id", group.to_owned()),
        // Only `offsets` decides about positions.
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        // A missing offset is an error, and no jump.
        ("auto.offset.reset", "error".to_owned()),
        ("allow.auto.create.topics", creates.to_string()),
        ("partition.assignment.strategy", options.text("partition_assignment_strategy").to_owned()),
        ("max.partition.fetch.bytes", of_a_partition.to_string()),
        // The library allocates memory for each answer. With 1 MiB instead of its 50 MiB, a message of a long backlog costs
        // a third less. A larger message comes alone.
        ("fetch.max.bytes", of_a_partition.max(ONE_ANSWER).to_string()),
        // The bound on what the library fetches ahead, of all partitions together.
        ("queued.max.messages.kbytes", "4096".to_owned()),
        // The pause of a partition at that bound. The library's second is long: the bound is read in a fiftieth of it.
        ("fetch.queue.backoff.ms", "10".to_owned()),
        ("fetch.wait.max.ms", "100".to_owned()),
        // Finds late topics and new partitions.
        ("topic.metadata.refresh.interval.ms", "10000".to_owned()),
    ]
}

pub(super) fn of_producer(options: &KafkaOptions, confirmed: Duration) -> Vec<(&'static str, String)> {
    let batch = options.integer("producer_batch_size").min(MOST_OF_A_BATCH);
    vec![
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("queue.buffering.max.messages", "1000".to_owned()),
        ("message.timeout.ms", confirmed.as_millis().to_string()),
        ("request.timeout.ms", "10000".to_owned()),
        ("linger.ms", options.linger().as_millis().to_string()),
        // oslo.messaging's driver sets the same.
        ("batch.num.messages", batch.to_string()),
        ("compression.codec", options.text("compression_codec").to_owned()),
        // That of Java's clients, so that all publishers choose the same partition for a key.
        ("partitioner", "murmur2_random".to_owned()),
        // The broker decides what is too large.
        ("message.max.bytes", "1000000000".to_owned()),
    ]
}

pub(super) fn unusable(error: &KafkaError) -> TransportError {
    let reason = match error {
        KafkaError::ClientConfig(_, reason, name, _) => format!("{name}: {reason}"),
        KafkaError::ClientCreation(reason) => reason.clone(),
        other => other.to_string(),
    };
    match reason.contains("ssl.") {
        true => TransportError::TlsFiles { reason },
        false => TransportError::ListenOptions { problem: reason },
    }
}

/// `host:port`, with an IPv6 address in brackets.
fn address(host: &TransportHost) -> String {
    let (name, port) = (&host.hostname, host.port_or(DEFAULT_PORT));
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
}

#[cfg(test)]
mod tests;
