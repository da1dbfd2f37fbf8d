use std::fs;

use osnl::actions::k2hr3::{K2hr3Conf, K2hr3Events, NoAddresses};
use osnl::native::{Native, Sources, load_texts};
use osnl_model::NotificationFilter;

use super::super::*;
use super::load;
use super::recorded::{accepted, folder};

fn native(text: &str) -> Native {
    let texts = [("shown.conf".to_owned(), text.to_owned())];
    load_texts(&texts, &Sources::default()).unwrap_or_else(|errors| panic!("{errors}\n{text}")).conf
}

#[test]
fn the_recorded_files_are_shown_as_recorded() {
    for file in accepted() {
        let text = fs::read_to_string(folder().join(&file)).unwrap();
        let loaded = Conf::from_text(&file, &text).unwrap();
        let shown = loaded.document().unwrap_or_else(|error| panic!("{file}: {error}"));
        let golden = folder().join("../shown").join(&file);
        let expected =
            fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        assert_eq!(shown.text(true), expected, "{file}");
    }
}

#[test]
fn what_is_shown_means_the_same() {
    for file in accepted() {
        let loaded = Conf::load(&folder().join(&file), &HiddenInputs::none()).unwrap();
        let conf = &loaded.conf;
        let native = native(&loaded.document().unwrap().text(true));
        let [listener] = &native.listeners[..] else { panic!("{file}") };
        let (old, mut new) = (conf.listener(), listener.config());
        new.options.consumer_tag.clear();
        assert_eq!(old.targets, new.targets, "{file}");
        assert_eq!(format!("{:?}", old.options), format!("{:?}", new.options), "{file}");
        assert_eq!(listener.transport_url, conf.oslo_messaging_notifications.transport_url, "{file}");
        let [rule] = &native.rules[..] else { panic!("{file}") };
        let filter = |filter: &NotificationFilter| format!("{filter:?}");
        assert_eq!(filter(&rule.rule.filter), filter(&conf.rule().filter), "{file}");
        assert_eq!(rule.rule.priorities, conf.rule().priorities, "{file}");
        let [action] = &native.actions[..] else { panic!("{file}") };
        assert_eq!(format!("{:?}", action.delivery()), format!("{:?}", conf.delivery()), "{file}");
        let Some(k2hr3) = action.driver.options::<K2hr3Conf>() else { panic!("{file}") };
        assert_eq!(k2hr3.api_url, conf.k2hr3.api_url, "{file}");
        assert_eq!((k2hr3.events, k2hr3.no_addresses), (K2hr3Events::All, NoAddresses::All), "{file}");
        assert_eq!(k2hr3.tls.verify, !conf.k2hr3.allow_self_signed_cert, "{file}");
    }
}

#[test]
fn empty_names_mean_the_exchange_and_the_queue_that_oslo_messaging_takes() {
    let loaded =
        load("[oslo_messaging_notifications]\nexchange =\npool =\n[k2hr3]\napi_url = http://h/\n").unwrap();
    let listener = loaded.conf.listener();
    assert_eq!(listener.targets[0].0.exchange.as_deref(), Some("openstack"));
    assert_eq!(listener.options.pool, None);
    let native = native(&loaded.document().unwrap().text(true));
    let mut new = native.listeners[0].config();
    new.options.consumer_tag.clear();
    assert_eq!(format!("{:?}", listener.options), format!("{:?}", new.options));
}

#[test]
fn what_the_native_form_cannot_say_is_refused() {
    let check = |lines: &str, expected: Option<&str>| {
        let text = format!("[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\n{lines}\n");
        let shown = load(&text).unwrap().document();
        assert_eq!(shown.err().map(|error| error.to_string()).as_deref(), expected, "{lines}");
    };
    let end = "cannot be written in the native form; rename";
    let why = "whose commas, equals signs, or line ends separate there";
    check("topic = a,b", Some(&format!("what is listened to {end} \"a,b\", {why}")));
    check("context = a=b:x", Some(&format!("a pattern {end} \"a=b\", {why}")));
    check("event_type = ", None);
    check("event_type = ^$$x$", None);
    check("exchange = \" a \"", None);
    check("exchange =\npool =", None);
    check("payload = a.b:x,c d:y", None);
}

#[test]
fn a_name_with_separators_is_read_as_it_is_with_the_refusal() {
    for (lines, is_refused) in [
        ("topic = a,b", true),
        ("context = a=b:x", true),
        ("topic = a,b\npayload = e=f:z", true),
        ("payload = a.b:x", false),
    ] {
        let text = format!("[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\n{lines}\n");
        let loaded = load(&text).unwrap();
        let (native, refused) = loaded.native().unwrap();
        assert_eq!(refused, loaded.document().err(), "{lines}");
        assert_eq!(refused.is_some(), is_refused, "{lines}");
        assert_eq!(native.conf.listeners[0].config().targets, loaded.conf.listener().targets, "{lines}");
        if is_refused {
            assert_eq!(format!("{:?}", native.conf.rules[0].rule), format!("{:?}", loaded.conf.rule()));
        }
    }
}

#[test]
fn issue_46_every_option_of_the_query_declares_the_same_in_the_native_form() {
    let values = |name: &str| -> &[&str] {
        match name {
            "rabbit_login_method" => &["PLAIN", "AMQPLAIN"],
            "ssl_version" => &["TLSv1_2"],
            "kombu_compression" => &["gzip"],
            "kombu_failover_strategy" => &["shuffle"],
            "rabbit_quorum_delivery_limit" => &["5&rabbit_quorum_queue=1", "5"],
            "rabbit_quorum_max_memory_length" => &["10&rabbit_quorum_queue=1", "10"],
            "rabbit_quorum_max_memory_bytes" => {
                &["1000&rabbit_quorum_queue=1", "4294967295&rabbit_quorum_queue=1"]
            }
            "rabbit_quorum_queue" => &["1", "0", "1&amqp_durable_queues=0"],
            "amqp_durable_queues" => &["1", "0", "1&amqp_auto_delete=1"],
            "rabbit_qos_prefetch_count" => &["0", "7"],
            "ssl_ca_file" | "ssl_cert_file" => &["/f.pem"],
            "ssl_key_file" => &["/f.pem&ssl_cert_file=/f.pem"],
            "hostname" | "processname" => &["h"],
            "tls" => &["verify", "unverified"],
            "kombu_reconnect_delay" => &["1.5"],
            _ => &["1"],
        }
    };
    for option in osnl_transport::RABBIT_OPTIONS {
        for value in values(option.name) {
            let query = format!("{}={value}", option.name);
            let text = format!(
                "[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\ntransport_url = rabbit://u:p@h/v?{query}\n"
            );
            let loaded = load(&text).unwrap_or_else(|errors| panic!("{query}: {errors}"));
            let document = loaded.document().unwrap_or_else(|error| panic!("{query}: {error}"));
            let native = native(&document.text(true));
            let (old, mut new) = (loaded.conf.listener().options, native.listeners[0].config().options);
            new.consumer_tag.clear();
            assert_eq!(format!("{old:?}"), format!("{new:?}"), "{query}");
            let rabbit =
                osnl_transport::RabbitOptions::from_query(&native.listeners[0].transport_url).unwrap();
            assert_eq!(rabbit.queue().as_oslo(), old.queue, "{query}");
        }
    }
}

#[test]
fn passwords_are_hidden_unless_asked_for() {
    let text = "[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter2@h/\n";
    let document = load(text).unwrap().document().unwrap();
    assert!(document.text(true).contains("rabbit://u:hunter2@h/"));
    let hidden = document.text(false);
    assert!(!hidden.contains("hunter2"), "{hidden}");
    assert!(hidden.starts_with("# Secrets are hidden as ***"), "{hidden}");
    native(&hidden);
}
