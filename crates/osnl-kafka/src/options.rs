//! The options of oslo.messaging's Kafka driver, and the settings of the client library for them.
//!
//! Names, types, and defaults are those of oslo.messaging 18.3.1
//! (`oslo_messaging/_drivers/kafka_driver/kafka_options.py`), and of older releases. A URL's query counts more than the
//! section `[oslo_messaging_kafka]`. osnl's own are `auto_offset_reset` and `partition_assignment_strategy`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use osnl_config::{OptionDef, Options as _, Seconds, options, words};
use osnl_model::{Secret, SentLogin, TransportHost, TransportUrl};
use osnl_transport::parts::{address_or, file, in_clear};
use osnl_transport::{DriverOptions, DriverSection, OptionError, TransportError};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

pub const KAFKA_OPTIONS: &[OptionDef] = KafkaSection::OPTIONS;

options! {
    /// In the order of oslo.messaging's reference. An empty text is none.
    #[derive(Clone, Debug, PartialEq)]
    pub struct KafkaSection {
        kafka_max_fetch_bytes: u32 = "1048576", within("1", "1000000000") => "Is the number of bytes that one answer of a broker may have for a partition; a longer message comes all the same.";
        kafka_consumer_timeout: Seconds = "1.0", within("0", "86400") => "Has no effect: osnl waits until a message is there.";
        pool_size: i32 = "10" => "Has no effect: it no longer exists in oslo.messaging; there is one connection to each broker.";
        conn_pool_min_size: i32 = "2" => "Has no effect: it no longer exists in oslo.messaging; there is one connection to each broker.";
        conn_pool_ttl: i32 = "1200" => "Has no effect: it no longer exists in oslo.messaging; there is one connection to each broker.";
        consumer_group: String = "oslo_messaging_consumer" => "Is the consumer group of a listener without a pool.";
        producer_batch_timeout: Seconds = "0.0", within("0", "900") => "Is the time that a published message waits for others, in seconds.";
        producer_batch_size: u32 = "16384", within("1", "2147483647") => "Is the most published messages that are sent together.";
        compression_codec: Codec = "none" => "Is the compression of published messages; received ones state their own.";
        enable_auto_commit: bool = "false" => "Has no effect: an offset is committed after everything below it is done, never before.";
        max_poll_records: u32 = "500", within("1", "2147483647") => "Has no effect: the listener's prefetch is the number of messages that may be unfinished.";
        security_protocol: SecurityProtocol = "PLAINTEXT" => "Decides whether the connection is encrypted, and whether the URL's user logs in.";
        sasl_mechanism: Mechanism = "PLAIN" => "Is the mechanism of the login.";
        ssl_cafile: String = "" => "Is the file of the trusted authorities; without it the system's are trusted.";
        ssl_client_cert_file: String = "" => "Is the certificate to present to the broker.";
        ssl_client_key_file: String = "" => "Is the key of ssl_client_cert_file.";
        ssl_client_key_password: Secret = "", secret => "Is the passphrase of ssl_client_key_file.";
        auto_offset_reset: FirstOffset = "latest" => "Is the first message that a new group reads: the next one, or the oldest that is kept. It is osnl's own option; oslo.messaging's driver always begins with the next.";
        partition_assignment_strategy: Assignment = "range,roundrobin" => "Decides how partitions are shared among the members of a group; all of them need the same. It is osnl's own option; oslo.messaging's driver has range,roundrobin.";
    }
}

impl Default for KafkaSection {
    fn default() -> Self {
        Self::defaults().expect("a test reads every default")
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codec(&'static str);
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mechanism(&'static str);
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assignment(&'static str);

words! {
    Codec, in_any_case: "none" => Self("none"), "gzip" => Self("gzip"), "snappy" => Self("snappy"), "lz4" => Self("lz4"),
    "zstd" => Self("zstd"),
}
words! {
    Mechanism, in_any_case: "PLAIN" => Self("PLAIN"), "SCRAM-SHA-256" => Self("SCRAM-SHA-256"),
    "SCRAM-SHA-512" => Self("SCRAM-SHA-512"),
}
words! {
    Assignment, in_any_case: "range,roundrobin" => Self("range,roundrobin"),
    "cooperative-sticky" => Self("cooperative-sticky"),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstOffset {
    Latest,
    Earliest,
}

words!(FirstOffset, in_any_case: "latest" => Self::Latest, "earliest" => Self::Earliest);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityProtocol {
    name: &'static str,
    pub tls: bool,
    pub sasl: bool,
}

words! {
    SecurityProtocol, in_any_case: "PLAINTEXT" => Self { name: "plaintext", tls: false, sasl: false },
    "SASL_PLAINTEXT" => Self { name: "sasl_plaintext", tls: false, sasl: true },
    "SSL" => Self { name: "ssl", tls: true, sasl: false },
    "SASL_SSL" => Self { name: "sasl_ssl", tls: true, sasl: true },
}

pub type KafkaOptions = DriverOptions<KafkaSection>;

impl DriverSection for KafkaSection {
    const SECTION: &'static str = "oslo_messaging_kafka";
    const SCHEMES: &'static [&'static str] = &["kafka"];

    fn check(&self) -> Result<(), OptionError> {
        let refuse = |names, reason| Err(OptionError::Together { names, reason });
        let certificate = !self.ssl_client_cert_file.is_empty();
        if !self.ssl_client_key_file.is_empty() && !certificate {
            return refuse("ssl_client_key_file without ssl_client_cert_file", "a key needs its certificate");
        }
        if (certificate || !self.ssl_cafile.is_empty()) && !self.security_protocol.tls {
            return refuse(
                "ssl_cafile, ssl_client_cert_file, and security_protocol",
                "the connection is not encrypted: set security_protocol = SSL or SASL_SSL",
            );
        }
        Ok(())
    }
}

impl KafkaSection {
    #[must_use]
    pub fn key_password(&self) -> &Secret {
        &self.ssl_client_key_password
    }

    pub fn security(&self) -> SecurityProtocol {
        self.security_protocol
    }

    /// Returns the logins that go to a broker in clear. SCRAM does not send the password.
    pub fn logins(&self, url: &TransportUrl) -> Vec<SentLogin> {
        let security = self.security();
        match security.sasl && !security.tls && self.sasl_mechanism.0 == "PLAIN" {
            true => in_clear(
                url,
                "write security_protocol=SASL_SSL, or a sasl_mechanism of SCRAM, into transport_url's query",
            ),
            false => Vec::new(),
        }
    }

    pub fn client_certificate(&self) -> Option<PathBuf> {
        file(Some(&self.ssl_client_cert_file)).filter(|_| self.security().tls)
    }

    pub fn group(&self) -> &str {
        &self.consumer_group
    }

    pub fn first_offset(&self) -> FirstOffset {
        self.auto_offset_reset
    }
}

/// Returns `host:port`, with Kafka's port for a host without one.
#[must_use]
pub fn address(host: &TransportHost) -> String {
    address_or(host, 9092)
}

/// The library refuses larger batches.
const MOST_OF_A_BATCH: u32 = 1_000_000;
/// The bytes of one answer to a consumer, unless a partition alone may have more.
const ONE_ANSWER: u32 = 1 << 20;

/// The library's Debug leaves out passwords.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) brokers: String,
    pub(super) user: Option<String>,
    pub(super) config: ClientConfig,
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
        config.set("socket.connection.setup.timeout.ms", "5000").set("socket.timeout.ms", "10000");
        // A lost cluster ends the subscription. The library would hide it by starting again.
        config.set("metadata.recovery.strategy", "none");
        config.set("security.protocol", options.security().name);
        let security = options.security();
        let login = url.hosts().iter().find_map(|host| Some((host, host.username.as_ref()?)));
        let user = match (security.sasl, login) {
            (true, Some((host, name))) => {
                config.set("sasl.mechanism", options.sasl_mechanism.0).set("sasl.username", name);
                config.set("sasl.password", host.password.as_ref().map_or("", Secret::expose));
                Some(host.shown_user().to_owned())
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
                ("ssl.ca.location", options.ssl_cafile.as_str()),
                ("ssl.certificate.location", options.ssl_client_cert_file.as_str()),
                ("ssl.key.location", options.ssl_client_key_file.as_str()),
                ("ssl.key.password", options.ssl_client_key_password.expose()),
            ] {
                if !value.is_empty() {
                    config.set(name, value);
                }
            }
            // An OpenSSL inside the program looks for authorities where it was built; librdkafka knows the systems' places.
            if cfg!(feature = "static") && options.ssl_cafile.is_empty() {
                config.set("ssl.ca.location", "probe");
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

pub(super) fn group_settings(
    options: &KafkaOptions,
    group: &str,
    creates: bool,
) -> Vec<(&'static str, String)> {
    let of_a_partition = options.kafka_max_fetch_bytes;
    vec![
        ("group.id", group.to_owned()),
        // Only `offsets` decides about positions.
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        // A missing offset is an error, and no jump.
        ("auto.offset.reset", "error".to_owned()),
        ("allow.auto.create.topics", creates.to_string()),
        ("partition.assignment.strategy", options.partition_assignment_strategy.0.to_owned()),
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

pub(super) fn producer_settings(options: &KafkaOptions, confirmed: Duration) -> Vec<(&'static str, String)> {
    let batch = options.producer_batch_size.min(MOST_OF_A_BATCH);
    vec![
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("queue.buffering.max.messages", "1000".to_owned()),
        ("message.timeout.ms", confirmed.as_millis().to_string()),
        ("request.timeout.ms", "10000".to_owned()),
        ("linger.ms", options.producer_batch_timeout.0.as_millis().to_string()),
        // oslo.messaging's driver sets the same.
        ("batch.num.messages", batch.to_string()),
        ("compression.codec", options.compression_codec.0.to_owned()),
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

#[cfg(test)]
mod tests;
