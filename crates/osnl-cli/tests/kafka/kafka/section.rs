use osnl_testkit::{KafkaCluster as _, MockKafka, Sink, wait_until};

use crate::running::{Place, SOON, TOPIC};

fn conf(place: &Place, url: &str, section: &str) -> String {
    // Kafka has no exchanges, and needs no name of one.
    let exchange = if url.starts_with("kafka:") { "" } else { "exchange = n\n" };
    format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[oslo_messaging_kafka]\n{section}\n[listener:n]\n\
         transport_url = {url}\n{exchange}priorities = info\npool = osnl\n[rule:r]\nactions = a\n[action:a]\n",
        place.path("state").display()
    )
}

fn check(url: &str, section: &str) -> (Option<i32>, String) {
    let place = Place::new();
    place.write("a.conf", &(conf(&place, url, section) + "driver = dump\n"));
    let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf"]);
    let (_, shown, _) = place.run(&["config", "show", "-c", "a.conf"]);
    (code, format!("{stdout}{stderr}{shown}"))
}

#[test]
fn the_section_of_kafka_counts_and_the_query_counts_more() {
    let section = "auto_offset_reset = earliest\ncompression_codec = zstd";
    let (code, said) = check("kafka://h/?compression_codec=lz4", section);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("broker     h:9092, virtual host /"), "{said}");
    assert!(said.contains("option     auto_offset_reset = earliest "), "{said}");
    assert!(said.contains("option     compression_codec = lz4 "), "{said}");
    let tls = "security_protocol = SASL_SSL\nssl_client_cert_file = /c\nssl_client_key_password = S3CRET";
    let (code, said) = check("kafka://u:S3CRET@h/", tls);
    let missing = "ssl_client_cert_file /c: No such file or directory";
    assert!(code == Some(78) && said.contains(missing) && !said.contains("S3CRET"), "{said}");
    let (code, said) = check("rabbit://h/", section);
    assert!(code == Some(0) && !said.contains("option     "), "{said}");
}

#[test]
fn an_exchange_does_not_say_what_comes_from_a_topic() {
    let place = Place::new();
    for (url, is_judged) in [("rabbit://u:p@h/", true), ("kafka://h/", false)] {
        let text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:n]\ntransport_url = {url}\n\
             exchange = nova\npool = osnl\n[rule:r]\nactions = a\nevent_type = ^port\\.delete\\.end$\n\
             [action:a]\ndriver = dump\n",
            place.path("state").display()
        );
        place.write("a.conf", &text);
        let (_, stdout, stderr) = place.run(&["check", "-c", "a.conf"]);
        let said = format!("{stdout}{stderr}");
        assert_eq!(said.contains("matches no known event of nova"), is_judged, "{said}");
    }
}

#[test]
fn mistakes_in_the_section_of_kafka_are_errors_with_their_line() {
    for (section, expected) in [
        (
            "sasl_mechanism = GSSAPI",
            "a.conf:6: [oslo_messaging_kafka] sasl_mechanism: unknown value \"GSSAPI\"; allowed: PLAIN, SCRAM",
        ),
        (
            "compression_codec = zip",
            "a.conf:6: [oslo_messaging_kafka] compression_codec: unknown value \"zip\"; allowed: none",
        ),
        (
            "consumer_grup = g",
            "a.conf:6: [oslo_messaging_kafka] consumer_grup: unknown option; did you mean consumer_group",
        ),
        (
            "ssl_cafile = /ca",
            "a.conf:7: [listener:n]: ssl_cafile, ssl_client_cert_file, and security_protocol",
        ),
    ] {
        let (code, said) = check("kafka://h/", section);
        assert!(code == Some(78) && said.contains(expected), "{code:?}: {said}");
    }
}

#[test]
fn a_listener_of_kafka_runs_by_the_section() {
    let (place, kafka, sink) = (Place::new(), MockKafka::start(), Sink::start());
    kafka.create_topic(TOPIC, 1);
    kafka.publish(
        TOPIC,
        r#"{"event_type": "port.delete.end", "publisher_id": "n", "priority": "INFO", "payload": {}}"#,
    );
    let target = format!("driver = http\nurl = {}\n", sink.url("/"));
    place.write("a.conf", &(conf(&place, &kafka.url(), "auto_offset_reset = earliest") + &target));
    let osnl = place.start(&["run", "-c", "a.conf"]);
    sink.wait_for(1, SOON);
    wait_until(SOON, "the message is finished", || kafka.unfinished("osnl", TOPIC) == 0);
    osnl.stop();
}
