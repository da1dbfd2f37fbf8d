//! Every option of `[oslo_messaging_rabbit]`, with what it does here.
//!
//! Names, types, limits and defaults are those that oslo.messaging 18.3.1 registers
//! (`oslo_messaging/_drivers/impl_rabbit.py`, `amqp.py`), and of what older releases had, whatever files still set.

/// One option.
#[derive(Debug, PartialEq)]
pub struct RabbitOption {
    /// As it is written in a section or a query.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: OptionKind,
    /// oslo.messaging's default, as text; empty where nothing is.
    pub default: &'static str,
    /// Whether setting it changes anything.
    pub effect: Effect,
}

/// The kind of an option's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptionKind {
    /// `true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`, in any case.
    Boolean,
    /// A whole number within these limits.
    Integer(i64, i64),
    /// A number of seconds within these limits, with or without a fraction.
    Decimal(f64, f64),
    /// Any text.
    Text,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
}

/// Whether setting an option changes anything. The sentence follows the option's name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does; this is what.
    Has(&'static str),
    /// It is accepted and does nothing; this is why.
    Nothing(&'static str),
}

const MAX: i64 = i32::MAX as i64;
const RPC: Effect = Effect::Nothing("is about RPC, which osnl does not speak");
const COMPRESSION: Effect = Effect::Nothing(
    "is for publishing, by `osnl send` and the library; received bodies state their own compression",
);
const TRANSIENT: Effect = Effect::Nothing(
    "is about the reply and fanout queues of RPC; notifications have none in oslo.messaging either",
);

/// The options, in the order of oslo.messaging's reference.
#[rustfmt::skip]
pub static RABBIT_OPTIONS: [RabbitOption; 44] = [
    has("amqp_durable_queues", OptionKind::Boolean, "false", "decides whether a queue that osnl has to create is durable; an existing queue is used as it is"),
    has("amqp_auto_delete", OptionKind::Boolean, "false", "decides whether such a queue is deleted with its last consumer"),
    none("rpc_conn_pool_size", OptionKind::Integer(1, MAX), "30", RPC),
    none("conn_pool_min_size", OptionKind::Integer(-MAX, MAX), "2", RPC),
    none("conn_pool_ttl", OptionKind::Integer(-MAX, MAX), "1200", RPC),
    has("ssl", OptionKind::Boolean, "false", "decides whether the connection is encrypted; the broker's certificate is verified only with ssl_ca_file, or with tls = verify"),
    has("ssl_version", OptionKind::Word(&["", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3", "SSLv23", "SSLv2", "SSLv3"]), "", "limits the TLS versions: TLSv1_2 and TLSv1_3 mean only that one, SSLv23 both; for older ones, TLS 1.2 or newer is used instead"),
    has("ssl_key_file", OptionKind::Text, "", "is the key of ssl_cert_file, without a passphrase"),
    has("ssl_cert_file", OptionKind::Text, "", "is the certificate to present to the broker; it is read again for each connection"),
    has("ssl_ca_file", OptionKind::Text, "", "is the file of the trusted authorities; the host name is verified too if the URL has one host, as in oslo.messaging"),
    has("ssl_enforce_hostname_verification", OptionKind::Boolean, "true", "decides, with ssl_ca_file, whether the name in the certificate must match the host"),
    none("ssl_enforce_fips_mode", OptionKind::Boolean, "false", Effect::Nothing("does nothing in oslo.messaging either since OpenSSL 3; TLS is rustls's here")),
    has("kombu_reconnect_delay", OptionKind::Decimal(0.0, 4.5), "1.0", "is the pause after a connection is lost or the consumer is cancelled, in seconds; unless it is set, the first attempt is made at once"),
    has("kombu_reconnect_splay", OptionKind::Decimal(0.0, 86_400.0), "0.0", "is the largest random addition to kombu_reconnect_delay, in seconds"),
    none("kombu_compression", OptionKind::Word(&["", "gzip", "bz2"]), "", COMPRESSION),
    none("kombu_missing_consumer_retry_timeout", OptionKind::Integer(-MAX, MAX), "60", RPC),
    none("kombu_reconnect_timeout", OptionKind::Integer(-MAX, MAX), "60", RPC),
    has("kombu_failover_strategy", OptionKind::Word(&["round-robin", "shuffle"]), "round-robin", "is the order in which several hosts are tried: one after the other, or at random each time"),
    has("rabbit_login_method", OptionKind::Word(&["PLAIN", "AMQPLAIN", "EXTERNAL", "RABBIT-CR-DEMO"]), "AMQPLAIN", "is the SASL mechanism of the login; EXTERNAL uses the client certificate instead of a password"),
    has("rabbit_retry_interval", OptionKind::Integer(1, 86_400), "1", "is the pause after the first failed attempt to connect, in seconds"),
    has("rabbit_retry_backoff", OptionKind::Integer(0, 86_400), "2", "is the addition to that pause with each further failure, in seconds"),
    has("rabbit_interval_max", OptionKind::Integer(1, 86_400), "30", "is the longest such pause, in seconds"),
    none("rabbit_max_retries", OptionKind::Integer(-MAX, MAX), "0", Effect::Nothing("no longer exists in oslo.messaging; connecting is tried without limit, in osnl too")),
    none("rabbit_ha_queues", OptionKind::Boolean, "false", Effect::Nothing("has meant nothing since RabbitMQ 3.0, where a policy mirrors queues; rabbit_quorum_queue is the replicated kind")),
    has("rabbit_quorum_queue", OptionKind::Boolean, "false", "makes a queue that osnl has to create a durable quorum queue"),
    none("rabbit_transient_quorum_queue", OptionKind::Boolean, "false", TRANSIENT),
    has("rabbit_quorum_delivery_limit", OptionKind::Integer(0, MAX), "0", "is the number of redeliveries of a message of such a queue; 0 leaves it to the broker"),
    has("rabbit_quorum_max_memory_length", OptionKind::Integer(0, MAX), "0", "is the number of messages of such a queue that the broker keeps in memory; 0 leaves it to the broker"),
    has("rabbit_quorum_max_memory_bytes", OptionKind::Integer(0, u32::MAX as i64), "0", "is the number of bytes of such a queue that the broker keeps in memory; 0 leaves it to the broker"),
    none("rabbit_transient_queues_ttl", OptionKind::Integer(0, MAX), "1800", TRANSIENT),
    has("rabbit_qos_prefetch_count", OptionKind::Integer(0, 65_535), "0", "is the largest number of unacknowledged messages; 0, which means no limit in oslo.messaging, keeps osnl's own value"),
    has("heartbeat_timeout_threshold", OptionKind::Integer(0, 65_535), "60", "is the heartbeat interval to request, in seconds; after one and a half intervals of silence the connection is closed; 0 turns it off"),
    none("heartbeat_rate", OptionKind::Integer(1, MAX), "3", Effect::Nothing("is not needed: heartbeats are sent twice per interval")),
    none("heartbeat_in_pthread", OptionKind::Boolean, "false", Effect::Nothing("is not needed: the connection has a thread of its own in any case")),
    none("direct_mandatory_flag", OptionKind::Boolean, "true", RPC),
    none("enable_cancel_on_failover", OptionKind::Boolean, "false", Effect::Nothing("is about mirrored classic queues, which RabbitMQ 4 no longer has; a consumer that the broker cancels is started again in any case")),
    none("use_queue_manager", OptionKind::Boolean, "false", TRANSIENT),
    none("hostname", OptionKind::Text, "", TRANSIENT),
    none("processname", OptionKind::Text, "", TRANSIENT),
    none("rabbit_stream_fanout", OptionKind::Boolean, "false", TRANSIENT),
    none("rpc_reply_timeout", OptionKind::Integer(-MAX, MAX), "60", RPC),
    none("rpc_reply_retry_attempts", OptionKind::Integer(-MAX, MAX), "-1", RPC),
    none("rpc_retry_delay", OptionKind::Decimal(0.0, 86_400.0), "0.25", RPC),
    none("fake_rabbit", OptionKind::Boolean, "false", Effect::Nothing("no longer exists in oslo.messaging; it was for its own tests")),
];

const fn has(
    name: &'static str,
    kind: OptionKind,
    default: &'static str,
    what: &'static str,
) -> RabbitOption {
    RabbitOption { name, kind, default, effect: Effect::Has(what) }
}

const fn none(name: &'static str, kind: OptionKind, default: &'static str, effect: Effect) -> RabbitOption {
    RabbitOption { name, kind, default, effect }
}
