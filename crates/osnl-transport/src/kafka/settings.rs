//! The settings of the client library for a URL and its options.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use osnl_model::{Secret, TransportHost, TransportUrl};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::options::KafkaOptions;
use crate::TransportError;

/// Kafka's port where the URL has none.
pub(super) const DEFAULT_PORT: u16 = 9092;

/// The most messages that the library sends together.
const MOST_OF_A_BATCH: i64 = 1_000_000;
/// The bytes of one answer to a consumer, unless a partition alone may have more.
const ONE_ANSWER: i64 = 1 << 20;

/// Settings of all clients of one transport. Debug hides the secrets.
#[derive(Clone)]
pub(super) struct Settings {
    /// `host:port,host:port`.
    pub(super) brokers: String,
    /// The user, if one logs in.
    pub(super) user: Option<String>,
    pub(super) values: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, Secret>,
    /// Settings of a test, over all others.
    pub(super) own: BTreeMap<String, String>,
}

impl Settings {
    /// The settings for these hosts and options.
    ///
    /// # Errors
    /// A user in the URL that would not be logged in, or a login without a user.
    pub(super) fn new(url: &TransportUrl, options: &KafkaOptions) -> Result<Self, TransportError> {
        let brokers = url.hosts().iter().map(address).collect::<Vec<_>>().join(",");
        let mut values = BTreeMap::from([
            ("bootstrap.servers", brokers.clone()),
            ("client.id", "osnl".to_owned()),
            ("socket.connection.setup.timeout.ms", "10000".to_owned()),
            ("socket.timeout.ms", "10000".to_owned()),
            // Each lost cluster ends the subscription; the library's own second start would hide it.
            ("metadata.recovery.strategy", "none".to_owned()),
        ]);
        let mut secrets = BTreeMap::new();
        let security = options.security();
        values.insert("security.protocol", options.text("security_protocol").to_lowercase());
        // The first host that has them.
        let login =
            url.hosts().iter().find_map(|host| Some((host.username.as_ref()?, host.password.as_ref())));
        let mut user = None;
        match (security.sasl, login) {
            (true, Some((name, password))) => {
                values.insert("sasl.mechanism", options.text("sasl_mechanism").to_owned());
                values.insert("sasl.username", name.clone());
                secrets.insert("sasl.password", password.cloned().unwrap_or_else(|| Secret::new("")));
                user = Some(name.clone());
            }
            (true, None) => {
                return Err(refused("security_protocol asks for a login, and the URL has no user"));
            }
            (false, Some(_)) => {
                return Err(refused(
                    "the URL has a user, and security_protocol no login: write SASL_SSL or SASL_PLAINTEXT",
                ));
            }
            (false, None) => {}
        }
        if security.tls {
            for (name, option) in [
                ("ssl.ca.location", "ssl_cafile"),
                ("ssl.certificate.location", "ssl_client_cert_file"),
                ("ssl.key.location", "ssl_client_key_file"),
            ] {
                let file = options.text(option);
                if !file.is_empty() {
                    values.insert(name, file.to_owned());
                }
            }
            secrets.extend(options.key_password().map(|password| ("ssl.key.password", password.clone())));
        }
        Ok(Self { brokers, user, values, secrets, own: BTreeMap::new() })
    }

    /// Whether connections are encrypted.
    pub(super) fn asks_for_tls(&self) -> bool {
        self.values.get("security.protocol").is_some_and(|protocol| protocol.ends_with("ssl"))
    }

    /// The settings of a client, with these of its own.
    pub(super) fn client(&self, own: &[(&str, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Lost connections and failed commits are told by lines of this level.
        config.set_log_level(RDKafkaLogLevel::Warning);
        for (name, value) in &self.values {
            config.set(*name, value);
        }
        for (name, value) in &self.secrets {
            config.set(*name, value.expose());
        }
        for (name, value) in own {
            config.set(*name, value);
        }
        for (name, value) in &self.own {
            config.set(name, value);
        }
        config
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("values", &self.values).finish_non_exhaustive()
    }
}

/// The settings of a consumer of a group.
pub(super) fn of_group(options: &KafkaOptions, group: &str, creates: bool) -> Vec<(&'static str, String)> {
    let of_a_partition = options.integer("kafka_max_fetch_bytes");
    vec![
        ("group.id", group.to_owned()),
        // Positions are ours alone: see `offsets`.
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        // A missing offset is an error, and no jump.
        ("auto.offset.reset", "error".to_owned()),
        ("allow.auto.create.topics", creates.to_string()),
        ("partition.assignment.strategy", options.text("partition_assignment_strategy").to_owned()),
        ("max.partition.fetch.bytes", of_a_partition.to_string()),
        // One answer of a broker. The library's own 50 MiB are memory that is new for each answer: with 1 MiB, and partitions
        // with a long backlog, a message costs the library a third less. A larger message comes alone.
        ("fetch.max.bytes", of_a_partition.max(ONE_ANSWER).to_string()),
        // What the library fetches ahead of us, of all partitions together.
        ("queued.max.messages.kbytes", "4096".to_owned()),
        // A partition whose turn comes while so much is there waits. The library's own second is long: what is fetched ahead
        // is read in a fiftieth of that.
        ("fetch.queue.backoff.ms", "10".to_owned()),
        ("fetch.wait.max.ms", "100".to_owned()),
        // Late topics and new partitions are found so often; the library's own interval is five minutes.
        ("topic.metadata.refresh.interval.ms", "10000".to_owned()),
    ]
}

/// The settings of a producer: each message is on all replicas in sync before it is confirmed, once, and in its order.
pub(super) fn of_producer(options: &KafkaOptions, confirmed: Duration) -> Vec<(&'static str, String)> {
    let batch = options.integer("producer_batch_size").min(MOST_OF_A_BATCH);
    vec![
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("message.timeout.ms", confirmed.as_millis().to_string()),
        ("request.timeout.ms", "10000".to_owned()),
        ("linger.ms", options.linger().as_millis().to_string()),
        // oslo.messaging's driver sets this of the library with it.
        ("batch.num.messages", batch.to_string()),
        ("compression.codec", options.text("compression_codec").to_owned()),
        // Java's, so that a key's partition is that of other publishers.
        ("partitioner", "murmur2_random".to_owned()),
        // The broker decides what is too large.
        ("message.max.bytes", "1000000000".to_owned()),
    ]
}

/// Returns the error for settings that the library refuses.
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

fn refused(problem: &str) -> TransportError {
    TransportError::ListenOptions { problem: format!("transport_url: {problem}") }
}

/// `host:port`, with an IPv6 address in brackets.
pub(super) fn address(host: &TransportHost) -> String {
    let (name, port) = (&host.hostname, host.port_or(DEFAULT_PORT));
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Result<Settings, String> {
        let url = TransportUrl::parse(url).unwrap();
        let options = KafkaOptions::from_query(&url).unwrap();
        Settings::new(&url, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn brokers_and_login_are_those_of_oslo() {
        let found = settings("kafka://h1,u:p@[::1]:9093,v:q@h3/?security_protocol=SASL_PLAINTEXT").unwrap();
        assert_eq!(found.brokers, "h1:9092,[::1]:9093,h3:9092");
        let config = found.client(&[]);
        let get = |name| config.get(name).unwrap_or("none");
        assert_eq!((get("sasl.username"), get("sasl.password"), get("sasl.mechanism")), ("u", "p", "PLAIN"));
        assert_eq!(get("security.protocol"), "sasl_plaintext");
        let open = settings("kafka://h/").unwrap().client(&[("group.id", "g".to_owned())]);
        assert_eq!((open.get("sasl.username"), open.get("group.id")), (None, Some("g")));
    }

    #[test]
    fn a_login_that_would_be_left_out_is_refused() {
        let user = settings("kafka://u:hunter2@h/").unwrap_err();
        assert!(user.contains("write SASL_SSL or SASL_PLAINTEXT") && !user.contains("hunter2"), "{user}");
        let none = settings("kafka://h/?security_protocol=SASL_SSL").unwrap_err();
        assert!(none.ends_with("the URL has no user"), "{none}");
    }

    #[test]
    fn one_answer_has_room_for_what_one_partition_may_bring() {
        let check = |query: &str, partition: &str, answer: &str| {
            let url = TransportUrl::parse(&format!("kafka://h/{query}")).unwrap();
            let options = KafkaOptions::from_query(&url).unwrap();
            let found = of_group(&options, "g", false);
            let value =
                |name| found.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
            assert_eq!(value("max.partition.fetch.bytes"), Some(partition), "{query}");
            assert_eq!(value("fetch.max.bytes"), Some(answer), "{query}");
        };
        check("", "1048576", "1048576");
        check("?kafka_max_fetch_bytes=65536", "65536", "1048576");
        check("?kafka_max_fetch_bytes=8388608", "8388608", "8388608");
    }

    #[test]
    fn secrets_are_not_shown() {
        let found = settings(
            "kafka://u:hunter2@h/?security_protocol=SASL_SSL&ssl_client_cert_file=c&ssl_client_key_password=hunter2",
        );
        let shown = format!("{:?}", found.unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
