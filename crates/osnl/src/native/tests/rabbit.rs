use osnl_transport::{LoginMethod, QueueType, Trust};

use super::{load, load_layers};
use crate::native::{ListenerConf, LoadedConf};

fn text(query: &str, listener: &str, section: &str) -> String {
    let rest = "[rule:r]\nactions = a\n[action:a]\ndriver = dump\n";
    let url = format!("transport_url = rabbit://u:hunter2@localhost/{query}");
    format!(
        "[listener:n]\n{url}\nexchange = n\n{listener}\n[oslo_messaging_rabbit]\n{section}\n{rest}[listener:n]\npool = osnl\n"
    )
}

fn listener(loaded: &LoadedConf) -> &ListenerConf {
    &loaded.conf.listeners[0]
}

#[test]
fn section_query_and_listener_are_laid_over_one_another() {
    let check = |query: &str, own: &str, section: &str, expected: u16| {
        let loaded = load(&text(query, own, section)).unwrap();
        assert_eq!(listener(&loaded).rabbit.heartbeat(), expected, "{query} {own} {section}");
    };
    let name = "heartbeat_timeout_threshold";
    check("", "", "", 10);
    check("", "", &format!("{name} = 1"), 1);
    check(&format!("?{name}=2"), "", &format!("{name} = 1"), 2);
    check(&format!("?{name}=2"), &format!("{name} = 3"), &format!("{name} = 1"), 3);
    check("", "", &format!("{name} = $rabbit_retry_interval\nrabbit_retry_interval = 7"), 7);

    let base = text("", "", "ssl = true");
    let variable = ("OS_OSLO_MESSAGING_RABBIT__SSL_CA_FILE", "/ca.pem");
    let loaded = load_layers(&[&base], &[variable]).unwrap();
    let trust = listener(&loaded).rabbit.tls().unwrap().trust;
    assert_eq!(trust, Trust::Ca { file: Some("/ca.pem".into()), name: true });
    let loaded = load_layers(&[&base], &[("OS_LISTENER_N__SSL", "off")]).unwrap();
    assert_eq!(listener(&loaded).rabbit.tls(), None);

    // Options of the query and the section are checked together.
    let external = "rabbit_login_method=EXTERNAL&ssl_cert_file=c&ssl_key_file=k";
    let loaded = load(&text(&format!("?{external}"), "", "ssl = 1")).unwrap();
    assert_eq!(listener(&loaded).rabbit.login(), Some(LoginMethod::External));
}

#[test]
fn queue_and_prefetch_follow_the_driver_unless_the_listener_says() {
    let check = |own: &str, section: &str, durable: bool, prefetch: u16| {
        let loaded = load(&text("", own, section)).unwrap();
        let conf = listener(&loaded);
        assert_eq!((conf.queue.durable, conf.prefetch), (durable, prefetch), "{own} {section}");
        let shown = loaded.document().text(true);
        let again = load(&shown).unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
        assert_eq!(format!("{:?}", listener(&again)), format!("{conf:?}"), "{shown}");
    };
    check("", "", true, 200);
    check("", "amqp_durable_queues = false", false, 200);
    check("durable = true", "amqp_durable_queues = false", true, 200);
    check("amqp_durable_queues = true", "amqp_durable_queues = false", true, 200);
    check("", "rabbit_quorum_queue = true\namqp_durable_queues = false", true, 200);
    check("", "rabbit_qos_prefetch_count = 0", true, 200);
    check("", "rabbit_qos_prefetch_count = 9", true, 9);
    check("prefetch = 200", "rabbit_qos_prefetch_count = 9", true, 200);
    check("tls = verify\nkombu_reconnect_delay = 0.5", "ssl_ca_file = /a b.pem", true, 200);
}

#[test]
fn the_kind_of_a_queue_follows_the_driver_unless_the_listener_says() {
    let check = |own: &str, section: &str, expected: (QueueType, bool, Option<u32>, Option<u32>)| {
        let loaded = load(&text("", own, section)).unwrap_or_else(|errors| panic!("{errors}"));
        let kind = &listener(&loaded).queue;
        let seen = (kind.queue_type, kind.auto_delete, kind.delivery_limit, kind.max_in_memory_length);
        assert_eq!(seen, expected, "{own} {section}");
        let shown = loaded.document().text(true);
        let again = load(&shown).unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
        assert_eq!(&listener(&again).queue, kind, "{shown}");
    };
    let limits = "rabbit_quorum_delivery_limit = 5\nrabbit_quorum_max_memory_length = 7";
    let quorum = format!("rabbit_quorum_queue = true\n{limits}");
    let auto_delete = "amqp_auto_delete = true\namqp_durable_queues = false";
    check("", "", (QueueType::Classic, false, None, None));
    check("", auto_delete, (QueueType::Classic, true, None, None));
    check("auto_delete = false", auto_delete, (QueueType::Classic, false, None, None));
    check("", limits, (QueueType::Classic, false, None, None));
    check("", &quorum, (QueueType::Quorum, false, Some(5), Some(7)));
    check("delivery_limit = 9", &quorum, (QueueType::Quorum, false, Some(9), Some(7)));
    check("queue_type = classic", &quorum, (QueueType::Classic, false, None, None));
}

#[test]
fn check_explains_every_option_that_is_set() {
    let section = "ssl = 1\nheartbeat_rate = 3\nuse_queue_manager = true\nrabbit_retry_backoff = 4";
    let explained = load(&text("?ssl_version=TLSv1", "", section)).unwrap().conf.explain();
    for expected in [
        "  tls        encrypted; the broker needs a certificate of a CA that the system trusts, for whatever name: set \
         tls = verify\n",
        "  option     ssl = 1 decides whether the connection is encrypted;",
        "  option     ssl_version = TLSv1 limits the TLS versions:",
        "  option     rabbit_retry_backoff = 4 is the addition to that pause with each further failure, in seconds\n",
        "  option     heartbeat_rate = 3 has no effect",
        "  option     use_queue_manager = true has no effect\n",
    ] {
        assert!(explained.contains(expected), "{expected}\nnot in\n{explained}");
    }
    let verified = load(&text("", "tls = verify\nssl_ca_file = /ca.pem", "")).unwrap().conf.explain();
    let expected = "  tls        encrypted; the broker needs a certificate of a CA in /ca.pem for its name\n";
    assert!(verified.contains(expected), "{verified}");
}
