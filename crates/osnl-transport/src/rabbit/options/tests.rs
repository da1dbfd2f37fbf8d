use super::*;

fn url(query: &str) -> TransportUrl {
    TransportUrl::parse(&format!("rabbit://u:p@h/?{query}")).unwrap()
}

fn options(query: &str) -> RabbitOptions {
    RabbitOptions::from_query(&url(query)).unwrap()
}

#[test]
fn every_option_takes_its_own_default() {
    let mut names: Vec<&str> = RABBIT_OPTIONS.iter().map(|option| option.name).collect();
    for option in RABBIT_OPTIONS {
        let Some(default) = option.default else { continue };
        let mut options = RabbitOptions::default();
        options.set(option.name, default).unwrap_or_else(|error| panic!("{error}"));
        assert!(options.is_set(option.name));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RABBIT_OPTIONS.len());
}

#[test]
fn what_is_laid_over_wins() {
    let mut options = RabbitOptions::default();
    options.set("ssl", "true").unwrap();
    options.set("heartbeat_timeout_threshold", "10").unwrap();
    options.set_from_query(&url("ssl=off")).unwrap();
    assert_eq!((options.tls(), options.heartbeat()), (None, 10));
    options.set("ssl", "YES").unwrap();
    assert!(options.tls().is_some());
    let set: Vec<_> =
        options.set_options().map(|(option, value)| format!("{}={value}", option.name)).collect();
    assert_eq!(set, ["ssl=YES", "heartbeat_timeout_threshold=10"]);
}

#[test]
fn tls_verifies_what_oslo_messaging_verifies_unless_a_word_of_osnls_own_is_set() {
    let check = |query: &str, expected: Option<Trust>| {
        let seen = options(query).tls().map(|tls| tls.trust);
        assert_eq!(seen, expected, "{query}");
    };
    let ca = |file: Option<&str>, name| Some(Trust::Ca { file: file.map(PathBuf::from), name });
    check("", None);
    check("ssl_ca_file=ca", None);
    check("ssl=1", ca(None, false));
    check("ssl=1&tls=oslo", ca(None, false));
    check("ssl=1&ssl_ca_file=", ca(None, false));
    check("ssl=1&ssl_ca_file=ca", ca(Some("ca"), true));
    check("ssl=1&ssl_ca_file=ca&ssl_enforce_hostname_verification=0", ca(Some("ca"), true));
    check("ssl=1&ssl_enforce_hostname_verification=0", ca(None, false));
    check("tls=verify", ca(None, true));
    check("tls=verify&ssl_ca_file=ca", ca(Some("ca"), true));
    check("tls=unverified", Some(Trust::Unverified));
    check("ssl=1&tls=unverified&ssl_ca_file=ca", Some(Trust::Unverified));
    for refused in ["ssl=0&tls=verify", "ssl=0&tls=unverified", "tls=no"] {
        assert!(RabbitOptions::from_query(&url(refused)).is_err(), "{refused}");
    }
}

#[test]
fn values_are_typed() {
    assert_eq!(options("").reconnect(), Reconnect::default());
    let seconds = Duration::from_secs_f64;
    assert_eq!(options("kombu_reconnect_splay=0.5").reconnect().delay, Some((seconds(1.0), seconds(0.5))));
    let pauses = options("rabbit_retry_interval=2&rabbit_interval_max=7").reconnect().retry.unwrap();
    let after: Vec<u64> = (1..=5).map(|n| pauses.after(n).as_secs()).collect();
    assert_eq!(after, [2, 4, 6, 7, 7]);
    assert_eq!(pauses.after(u32::MAX).as_secs(), 7);

    assert_eq!(options("").queue(), QueueOptions::default());
    let durable = QueueOptions { durable: Some(true), ..QueueOptions::default() };
    assert_eq!(options("amqp_durable_queues=1").queue(), durable);
    let quorum =
        options("amqp_durable_queues=0&rabbit_quorum_queue=1&rabbit_quorum_delivery_limit=5").queue();
    let limits = QuorumLimits { delivery_limit: Some(5), ..QuorumLimits::default() };
    assert_eq!((quorum.durable, quorum.quorum), (Some(true), Some(limits)));

    assert_eq!(options("rabbit_qos_prefetch_count=0").prefetch(), None);
    assert_eq!(options("rabbit_qos_prefetch_count=7").prefetch(), Some(7));
    assert_eq!(options("").login(), None);
    assert_eq!(options("rabbit_login_method=plain").login(), Some(LoginMethod::Plain));
    assert_eq!(options("").failover(), FailoverStrategy::Shuffle);
    assert_eq!(options("kombu_failover_strategy=round-robin").failover(), FailoverStrategy::RoundRobin);
    assert_eq!(options("kombu_compression=bz2").compression(), Some(Compression::Bzip2));
    assert_eq!(options("").heartbeat(), HEARTBEAT);
    assert_eq!(options("").with_oslo_heartbeat().heartbeat(), OSLO_HEARTBEAT);
    assert_eq!(options("heartbeat_timeout_threshold=7").with_oslo_heartbeat().heartbeat(), 7);
    assert_eq!(options("heartbeat_timeout_threshold=0").heartbeat(), 0);
    assert_eq!(options("ssl=1&ssl_version=SSLv23").tls().unwrap().versions, TlsVersions::Any);
}
