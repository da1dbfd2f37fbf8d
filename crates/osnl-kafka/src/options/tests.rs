use super::*;

fn url(query: &str) -> TransportUrl {
    TransportUrl::parse(&format!("kafka://u:p@h1:9092,h2/?{query}")).unwrap()
}

#[test]
fn what_nothing_sets_is_oslos_default() {
    let options = KafkaOptions::from_query(&url("")).unwrap();
    assert_eq!(options.group(), "oslo_messaging_consumer");
    assert_eq!(options.security(), SecurityProtocol { name: "plaintext", tls: false, sasl: false });
    let (first, linger) = (options.first_offset(), options.producer_batch_timeout);
    assert_eq!((first, linger), (FirstOffset::Latest, Seconds(Duration::ZERO)));
    assert_eq!((options.kafka_max_fetch_bytes, options.compression_codec), (1_048_576, Codec("none")));
    assert_eq!(options.set_options().count(), 0);
}

#[test]
fn a_query_sets_options() {
    let options = KafkaOptions::from_query(&url(
        "security_protocol=SASL_SSL&sasl_mechanism=scram-sha-512&consumer_group=g&auto_offset_reset=earliest\
         &ssl_client_cert_file=c&ssl_client_key_file=k&ssl_client_key_password=hunter2",
    ))
    .unwrap();
    assert_eq!(options.security(), SecurityProtocol { name: "sasl_ssl", tls: true, sasl: true });
    assert_eq!((options.group(), options.first_offset()), ("g", FirstOffset::Earliest));
    assert_eq!(options.sasl_mechanism, Mechanism("SCRAM-SHA-512"));
    assert_eq!(options.ssl_client_key_password.expose(), "hunter2");
    let shown: Vec<String> = options.set_options().map(|(o, value)| format!("{}={value}", o.name)).collect();
    assert_eq!(shown.last().unwrap(), "auto_offset_reset=earliest");
    let shown = format!("{shown:?} {options:?}");
    assert!(shown.contains("ssl_client_key_password=***") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_is_wrong_is_said_by_its_name() {
    for (query, expected) in [
        (
            "consumer_grop=g",
            "consumer_grop is not an option of [oslo_messaging_kafka]; did you mean consumer_group?",
        ),
        (
            "compression_codec=bz2",
            "compression_codec has a bad value; allowed: none, gzip, snappy, lz4, zstd",
        ),
        (
            "consumer_group=a&consumer_group=b",
            "consumer_group is given more than once in the query; write it once",
        ),
        (
            "sasl_mechanism=GSSAPI",
            "sasl_mechanism has a bad value; allowed: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
        ),
        (
            "security_protocol=SSL&ssl_client_key_file=k",
            "ssl_client_key_file without ssl_client_cert_file: a key needs its certificate",
        ),
        (
            "ssl_cafile=ca.pem",
            "ssl_cafile, ssl_client_cert_file, and security_protocol: the connection is not encrypted: set \
             security_protocol = SSL or SASL_SSL",
        ),
        // The query may have begun inside of a password.
        ("rest@host", "a name in the query is not an option of [oslo_messaging_kafka]"),
    ] {
        assert_eq!(KafkaOptions::from_query(&url(query)).unwrap_err().to_string(), expected, "{query}");
    }
}

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

/// The query is the one place that each form of the configuration has.
#[test]
fn a_login_in_clear_is_mended_in_the_query() {
    let logins = |query: &str| KafkaOptions::from_query(&url(query)).unwrap().logins(&url(query));
    let found = logins("security_protocol=SASL_PLAINTEXT").remove(0).finding().unwrap();
    assert!(found.1.contains("security_protocol=SASL_SSL") && found.1.contains("query"), "{found:?}");
    assert!(logins("security_protocol=SASL_SSL").is_empty());
}

#[test]
fn one_answer_has_room_for_what_one_partition_may_bring() {
    for (query, partition, answer) in [
        ("", "1048576", "1048576"),
        ("kafka_max_fetch_bytes=65536", "65536", "1048576"),
        ("kafka_max_fetch_bytes=8388608", "8388608", "8388608"),
    ] {
        let options = KafkaOptions::from_query(&url(query)).unwrap();
        let found = group_settings(&options, "g", false);
        let value = |name| found.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
        let limits = (value("max.partition.fetch.bytes"), value("fetch.max.bytes"));
        assert_eq!(limits, (Some(partition), Some(answer)), "{query}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let found = settings(
        "kafka://u:hunter2@h/?security_protocol=SASL_SSL&ssl_client_cert_file=c&ssl_client_key_password=hunter2",
    );
    let shown = format!("{:?}", found.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
