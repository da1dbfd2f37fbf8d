//! Every option of `[oslo_messaging_rabbit]`, with oslo.messaging's default and its effect here.
//!
//! Names and defaults are those of oslo.messaging 18.3.1 (`tests/it/registered.rs` compares), and of older releases
//! whose options files still set. The last option, `tls`, is osnl's own, and has no default in this table.

use osnl_config::{OptionDef, Options as _, Seconds, options, words};
use osnl_model::Compression;

use super::typed::LoginMethod;
use crate::hosts::FailoverStrategy;
use crate::tls::TlsVersions;

/// The meaning of an accepted option without effect: it concerns RPC or publishing, is not needed here, or has no
/// effect in oslo.messaging either.
pub const NO_EFFECT: &str = "Has no effect.";

pub const RABBIT_OPTIONS: &[OptionDef] = RabbitSection::OPTIONS;

options! {
    /// The options that are set; each other one has osnl's own default, which may differ from oslo.messaging's.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct RabbitSection {
        amqp_durable_queues: Option<bool> = "false" => "Decides whether an exchange and a queue that osnl has to create are durable; existing ones are used as they are.";
        amqp_auto_delete: Option<bool> = "false" => "Decides whether such an exchange is deleted with its last binding, and such a queue with its last consumer.";
        rpc_conn_pool_size: Option<u32> = "30", within("1", "2147483647") => "Has no effect.";
        conn_pool_min_size: Option<i32> = "2" => "Has no effect.";
        conn_pool_ttl: Option<i32> = "1200" => "Has no effect.";
        ssl: Option<bool> = "false" => "Decides whether the connection is encrypted; the broker's certificate must then be of an authority in ssl_ca_file, or without it of one that the system trusts.";
        ssl_version: Option<TlsVersions> = "" => "Limits the TLS versions: TLSv1_2 and TLSv1_3 mean only that one, SSLv23 both; for older ones, TLS 1.2 or newer is used instead.";
        ssl_key_file: Option<String> = "" => "Is the key of ssl_cert_file, without a passphrase.";
        ssl_cert_file: Option<String> = "" => "Is the certificate to present to the broker; it is read again for each connection.";
        ssl_ca_file: Option<String> = "" => "Is the file of the trusted authorities, in place of the system's; the certificate must then be for the name of the host that is connected to.";
        ssl_enforce_hostname_verification: Option<bool> = "true" => "Has no effect.";
        ssl_enforce_fips_mode: Option<bool> = "false" => "Has no effect.";
        kombu_reconnect_delay: Option<Seconds> = "1.0", within("0", "4.5") => "Is the pause after a connection is lost or the consumer is cancelled, in seconds; unless it is set, the first attempt is made at once.";
        kombu_reconnect_splay: Option<Seconds> = "0.0", within("0", "86400") => "Is the largest random addition to kombu_reconnect_delay, in seconds.";
        kombu_compression: Option<Codec> = "" => "Has no effect.";
        kombu_missing_consumer_retry_timeout: Option<i32> = "60" => "Has no effect.";
        kombu_reconnect_timeout: Option<i32> = "60" => "Has no effect.";
        kombu_failover_strategy: Option<FailoverStrategy> = "round-robin" => "Is the order in which several hosts are tried: one after the other, or at random each time.";
        rabbit_login_method: Option<LoginMethod> = "AMQPLAIN" => "Is the SASL mechanism of the login; without it, AMQPLAIN, or PLAIN where the broker does not offer that. EXTERNAL uses the client certificate instead of a password.";
        rabbit_retry_interval: Option<u32> = "1", within("1", "86400") => "Is the pause after the first failed attempt to connect, in seconds.";
        rabbit_retry_backoff: Option<u32> = "2", within("0", "86400") => "Is the addition to that pause with each further failure, in seconds.";
        rabbit_interval_max: Option<u32> = "30", within("1", "86400") => "Is the longest such pause, in seconds.";
        rabbit_max_retries: Option<i32> = "0" => "Has no effect.";
        rabbit_ha_queues: Option<bool> = "false" => "Is without meaning since RabbitMQ 3.0, where a policy mirrors queues; a queue that services declare too gets the same x-ha-policy; rabbit_quorum_queue is the replicated kind.";
        rabbit_quorum_queue: Option<bool> = "false" => "Makes a queue that osnl has to create a durable quorum queue, and an exchange durable; amqp_durable_queues then has no effect.";
        rabbit_transient_quorum_queue: Option<bool> = "false" => "Has no effect.";
        rabbit_quorum_delivery_limit: Option<u32> = "0", within("0", "2147483647") => "Is the number of redeliveries of a message of such a queue; 0 leaves it to the broker, and means no limit for a queue of osnl's own.";
        rabbit_quorum_max_memory_length: Option<u32> = "0", within("0", "2147483647") => "Is the number of messages of such a queue that the broker keeps in memory; 0 leaves it to the broker.";
        rabbit_quorum_max_memory_bytes: Option<u32> = "0", within("0", "4294967295") => "Is the number of bytes of such a queue that the broker keeps in memory; 0 leaves it to the broker.";
        rabbit_transient_queues_ttl: Option<u32> = "1800", within("0", "2147483647") => "Has no effect.";
        rabbit_qos_prefetch_count: Option<u16> = "0", within("0", "65535") => "Is the largest number of unacknowledged messages; 0, which means no limit in oslo.messaging, keeps osnl's own value.";
        heartbeat_timeout_threshold: Option<u16> = "60", within("0", "65535") => "Is the heartbeat interval in seconds (0: none). osnl closes a connection that is silent for one and a half intervals. The broker gives the queue of a silent machine to the next daemon after nearly three. Unless set, it is 10, and under the names k2hr3_osnl and oss_watcher 60.";
        heartbeat_rate: Option<u32> = "3", within("1", "2147483647") => "Has no effect.";
        heartbeat_in_pthread: Option<bool> = "false" => "Has no effect.";
        direct_mandatory_flag: Option<bool> = "true" => "Has no effect.";
        enable_cancel_on_failover: Option<bool> = "false" => "Has no effect.";
        use_queue_manager: Option<bool> = "false" => "Has no effect.";
        hostname: Option<String> = "" => "Has no effect.";
        processname: Option<String> = "" => "Has no effect.";
        rabbit_stream_fanout: Option<bool> = "false" => "Has no effect.";
        rpc_reply_timeout: Option<i32> = "60" => "Has no effect.";
        rpc_reply_retry_attempts: Option<i32> = "-1" => "Has no effect.";
        rpc_retry_delay: Option<Seconds> = "0.25", within("0", "86400") => "Has no effect.";
        fake_rabbit: Option<bool> = "false" => "Has no effect.";
        tls: Option<TlsChoice> => "Is osnl's own. verify: use TLS, and verify the broker's certificate and its name. unverified: use TLS, and verify neither, so that a forged broker gets the password. oslo, the default: follow ssl and ssl_ca_file.";
    }
}

words! {
    TlsVersions, in_any_case: "" => Self::Any, "TLSv1" => Self::Any, "TLSv1_1" => Self::Any, "TLSv1_2" => Self::Only12,
    "TLSv1_3" => Self::Only13, "SSLv23" => Self::Any, "SSLv2" => Self::Any, "SSLv3" => Self::Any,
}
words!(FailoverStrategy, in_any_case: "round-robin" => Self::RoundRobin, "shuffle" => Self::Shuffle);
words! {
    LoginMethod, in_any_case: "PLAIN" => Self::Plain, "AMQPLAIN" => Self::AmqPlain, "EXTERNAL" => Self::External,
}

/// The compression of published bodies; `None` for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codec(pub(super) Option<Compression>);

words! {
    Codec, in_any_case: "" => Self(None), "gzip" => Self(Some(Compression::Gzip)),
    "bz2" => Self(Some(Compression::Bzip2)),
}

/// The value of `tls` in a URL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TlsChoice {
    Oslo,
    Verify,
    Unverified,
}

words!(TlsChoice: "oslo" => Self::Oslo, "verify" => Self::Verify, "unverified" => Self::Unverified);

#[must_use]
pub fn effect_of(option: &OptionDef) -> String {
    let mut chars = option.meaning.trim_end_matches('.').chars();
    let first: String = chars.next().into_iter().flat_map(char::to_lowercase).collect();
    format!("{first}{}", chars.as_str())
}
