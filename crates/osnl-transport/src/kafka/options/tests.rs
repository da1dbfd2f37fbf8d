//! Options: defaults, a URL's query, refusals, and secrets that are not shown.

use super::*;

fn url(query: &str) -> TransportUrl {
    TransportUrl::parse(&format!("kafka://u:p@h1:9092,h2/?{query}")).unwrap()
}

#[test]
fn what_nothing_sets_is_oslos_default() {
    let options = KafkaOptions::from_query(&url("")).unwrap();
    assert_eq!(options.group(), "oslo_messaging_consumer");
    assert_eq!(options.security(), SecurityProtocol { tls: false, sasl: false });
    assert_eq!((options.first_offset(), options.linger()), (FirstOffset::Latest, Duration::ZERO));
    assert_eq!(
        (options.integer("kafka_max_fetch_bytes"), options.text("compression_codec")),
        (1_048_576, "none")
    );
    assert_eq!(options.set_options().count(), 0);
}

#[test]
fn a_query_sets_options() {
    let options = KafkaOptions::from_query(&url(
        "security_protocol=SASL_SSL&sasl_mechanism=scram-sha-512&consumer_group=g&auto_offset_reset=earliest\
         &ssl_client_cert_file=c&ssl_client_key_file=k&ssl_client_key_password=hunter2",
    ))
    .unwrap();
    assert_eq!(options.security(), SecurityProtocol { tls: true, sasl: true });
    assert_eq!((options.group(), options.first_offset()), ("g", FirstOffset::Earliest));
    assert_eq!(options.text("sasl_mechanism"), "SCRAM-SHA-512");
    assert_eq!(options.key_password().map(Secret::expose), Some("hunter2"));
    let shown: Vec<String> = options.set_options().map(|(o, value)| format!("{}={value}", o.name)).collect();
    assert_eq!(shown.last().unwrap(), "auto_offset_reset=earliest");
    let shown = format!("{shown:?} {options:?}");
    assert!(shown.contains("ssl_client_key_password=***") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_is_wrong_is_said_by_its_name() {
    let check = |query: &str, expected: &str| {
        assert_eq!(KafkaOptions::from_query(&url(query)).unwrap_err().to_string(), expected, "{query}");
    };
    check(
        "consumer_grop=g",
        "consumer_grop is not an option of [oslo_messaging_kafka]; did you mean consumer_group?",
    );
    check(
        "compression_codec=bz2",
        "compression_codec has a bad value; allowed: none, gzip, snappy, lz4, zstd",
    );
    check(
        "consumer_group=a&consumer_group=b",
        "consumer_group is given more than once in the query; write it once",
    );
    check(
        "sasl_mechanism=GSSAPI",
        "sasl_mechanism = GSSAPI is not supported: write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    );
    check(
        "security_protocol=SSL&ssl_client_key_file=k",
        "ssl_client_key_file without ssl_client_cert_file: a key needs its certificate",
    );
    check(
        "ssl_cafile=ca.pem",
        "ssl_cafile, ssl_client_cert_file, and security_protocol: the connection is not encrypted: set security_protocol = \
         SSL or SASL_SSL",
    );
    // The query may have begun inside of a password.
    check("rest@host", "a name in the query is not an option of [oslo_messaging_kafka]");
}
