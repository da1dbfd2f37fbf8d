//! Every option of `[oslo_messaging_rabbit]`, with oslo.messaging's default and its effect here.
//!
//! Names and defaults are those of oslo.messaging 18.3.1 (`tests/it/registered.rs` compares), and of older releases
//! whose options files still set. The last option, `tls`, is osnl's own.

use osnl_config::{Kind, OptionDef};

const MAX: i64 = i32::MAX as i64;
/// The meaning of an accepted option without effect: it concerns RPC or publishing, is not needed here, or has no
/// effect in oslo.messaging either.
pub const NO_EFFECT: &str = "Has no effect.";

#[rustfmt::skip]
pub static RABBIT_OPTIONS: [OptionDef; 45] = [
    OptionDef::typed("amqp_durable_queues", Kind::Bool, "Decides whether an exchange and a queue that osnl has to create are durable; existing ones are used as they are.").or("false"),
    OptionDef::typed("amqp_auto_delete", Kind::Bool, "Decides whether such an exchange is deleted with its last binding, and such a queue with its last consumer.").or("false"),
    OptionDef::typed("rpc_conn_pool_size", Kind::Range(1, MAX), NO_EFFECT).or("30"),
    OptionDef::typed("conn_pool_min_size", Kind::Range(-MAX, MAX), NO_EFFECT).or("2"),
    OptionDef::typed("conn_pool_ttl", Kind::Range(-MAX, MAX), NO_EFFECT).or("1200"),
    OptionDef::typed("ssl", Kind::Bool, "Decides whether the connection is encrypted; the broker's certificate must then be of an authority in ssl_ca_file, or without it of one that the system trusts.").or("false"),
    OptionDef::typed("ssl_version", Kind::Word(&["", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3", "SSLv23", "SSLv2", "SSLv3"]), "Limits the TLS versions: TLSv1_2 and TLSv1_3 mean only that one, SSLv23 both; for older ones, TLS 1.2 or newer is used instead.").or(""),
    OptionDef::typed("ssl_key_file", Kind::Form("text"), "Is the key of ssl_cert_file, without a passphrase.").or(""),
    OptionDef::typed("ssl_cert_file", Kind::Form("text"), "Is the certificate to present to the broker; it is read again for each connection.").or(""),
    OptionDef::typed("ssl_ca_file", Kind::Form("text"), "Is the file of the trusted authorities, in place of the system's; the certificate must then be for the name of the host that is connected to.").or(""),
    OptionDef::typed("ssl_enforce_hostname_verification", Kind::Bool, NO_EFFECT).or("true"),
    OptionDef::typed("ssl_enforce_fips_mode", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("kombu_reconnect_delay", Kind::Seconds(0.0, 4.5), "Is the pause after a connection is lost or the consumer is cancelled, in seconds; unless it is set, the first attempt is made at once.").or("1.0"),
    OptionDef::typed("kombu_reconnect_splay", Kind::Seconds(0.0, 86_400.0), "Is the largest random addition to kombu_reconnect_delay, in seconds.").or("0.0"),
    OptionDef::typed("kombu_compression", Kind::Word(&["", "gzip", "bz2"]), NO_EFFECT).or(""),
    OptionDef::typed("kombu_missing_consumer_retry_timeout", Kind::Range(-MAX, MAX), NO_EFFECT).or("60"),
    OptionDef::typed("kombu_reconnect_timeout", Kind::Range(-MAX, MAX), NO_EFFECT).or("60"),
    OptionDef::typed("kombu_failover_strategy", Kind::Word(&["round-robin", "shuffle"]), "Is the order in which several hosts are tried: one after the other, or at random each time.").or("round-robin"),
    OptionDef::typed("rabbit_login_method", Kind::Word(&["PLAIN", "AMQPLAIN", "EXTERNAL", "RABBIT-CR-DEMO"]), "Is the SASL mechanism of the login; without it, AMQPLAIN, or PLAIN where the broker does not offer that. EXTERNAL uses the client certificate instead of a password.").or("AMQPLAIN"),
    OptionDef::typed("rabbit_retry_interval", Kind::Range(1, 86_400), "Is the pause after the first failed attempt to connect, in seconds.").or("1"),
    OptionDef::typed("rabbit_retry_backoff", Kind::Range(0, 86_400), "Is the addition to that pause with each further failure, in seconds.").or("2"),
    OptionDef::typed("rabbit_interval_max", Kind::Range(1, 86_400), "Is the longest such pause, in seconds.").or("30"),
    OptionDef::typed("rabbit_max_retries", Kind::Range(-MAX, MAX), NO_EFFECT).or("0"),
    OptionDef::typed("rabbit_ha_queues", Kind::Bool, "Is without meaning since RabbitMQ 3.0, where a policy mirrors queues; a queue that services declare too gets the same x-ha-policy; rabbit_quorum_queue is the replicated kind.").or("false"),
    OptionDef::typed("rabbit_quorum_queue", Kind::Bool, "Makes a queue that osnl has to create a durable quorum queue, and an exchange durable; amqp_durable_queues then has no effect.").or("false"),
    OptionDef::typed("rabbit_transient_quorum_queue", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("rabbit_quorum_delivery_limit", Kind::Range(0, MAX), "Is the number of redeliveries of a message of such a queue; 0 leaves it to the broker, and means no limit for a queue of osnl's own.").or("0"),
    OptionDef::typed("rabbit_quorum_max_memory_length", Kind::Range(0, MAX), "Is the number of messages of such a queue that the broker keeps in memory; 0 leaves it to the broker.").or("0"),
    OptionDef::typed("rabbit_quorum_max_memory_bytes", Kind::Range(0, u32::MAX as i64), "Is the number of bytes of such a queue that the broker keeps in memory; 0 leaves it to the broker.").or("0"),
    OptionDef::typed("rabbit_transient_queues_ttl", Kind::Range(0, MAX), NO_EFFECT).or("1800"),
    OptionDef::typed("rabbit_qos_prefetch_count", Kind::Range(0, 65_535), "Is the largest number of unacknowledged messages; 0, which means no limit in oslo.messaging, keeps osnl's own value.").or("0"),
    OptionDef::typed("heartbeat_timeout_threshold", Kind::Range(0, 65_535), "Is the heartbeat interval to request, in seconds; after one and a half intervals of silence osnl closes the connection, after nearly three the broker gives the queue of a silent machine to the next daemon; 0 turns it off; unless it is set, osnl requests 10, and under the names k2hr3_osnl and oss_watcher 60.").or("60"),
    OptionDef::typed("heartbeat_rate", Kind::Range(1, MAX), NO_EFFECT).or("3"),
    OptionDef::typed("heartbeat_in_pthread", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("direct_mandatory_flag", Kind::Bool, NO_EFFECT).or("true"),
    OptionDef::typed("enable_cancel_on_failover", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("use_queue_manager", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("hostname", Kind::Form("text"), NO_EFFECT).or(""),
    OptionDef::typed("processname", Kind::Form("text"), NO_EFFECT).or(""),
    OptionDef::typed("rabbit_stream_fanout", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("rpc_reply_timeout", Kind::Range(-MAX, MAX), NO_EFFECT).or("60"),
    OptionDef::typed("rpc_reply_retry_attempts", Kind::Range(-MAX, MAX), NO_EFFECT).or("-1"),
    OptionDef::typed("rpc_retry_delay", Kind::Seconds(0.0, 86_400.0), NO_EFFECT).or("0.25"),
    OptionDef::typed("fake_rabbit", Kind::Bool, NO_EFFECT).or("false"),
    OptionDef::typed("tls", Kind::Choice(&["oslo", "verify", "unverified"]), "Is osnl's own. verify: use TLS, and verify the broker's certificate and its name. unverified: use TLS, and verify neither, so that a forged broker gets the password. oslo: follow ssl and ssl_ca_file.").or("oslo"),
];

#[must_use]
pub fn effect_of(option: &OptionDef) -> String {
    let mut chars = option.meaning.trim_end_matches('.').chars();
    let first: String = chars.next().into_iter().flat_map(char::to_lowercase).collect();
    format!("{first}{}", chars.as_str())
}
