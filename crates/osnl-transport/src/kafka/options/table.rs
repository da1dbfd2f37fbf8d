//! Every option of `[oslo_messaging_kafka]`, with oslo.messaging's default and what it does here.
//!
//! Names, types and defaults are those that oslo.messaging 18.3.1 registers (`oslo_messaging/_drivers/kafka_driver/kafka_options.py`),
//! and of what older releases had. The last two are osnl's own.

use osnl_config::{Kind, OptionDef};

const MAX: i64 = i32::MAX as i64;
const POOL: &str =
    "Has no effect: it no longer exists in oslo.messaging; there is one connection to each broker.";

/// The options, in the order of oslo.messaging's reference. A default is oslo.messaging's; empty is none.
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
