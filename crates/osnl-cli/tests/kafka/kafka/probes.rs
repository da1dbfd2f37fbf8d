use osnl_testkit::{KafkaCluster, MockKafka, wait_until};

use crate::running::{Place, SOON, TOPIC};

#[test]
fn check_connect_looks_for_brokers_and_topics_of_kafka() {
    check_probes(&MockKafka::start());
}

pub(crate) fn check_probes(kafka: &impl KafkaCluster) {
    let place = Place::new();
    kafka.create_topic(TOPIC, 1);
    let conf = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:n]\ntransport_url = {url}\nexchange = n\n\
         priorities = info, error\npool = osnl\n[rule:r]\nactions = a\n[action:a]\ndriver = publish\n\
         transport_url = {url}\nkey = deletions.info\n",
        place.path("state").display(),
        url = kafka.url()
    );
    place.write("a.conf", &conf);
    let check = || {
        let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf", "--connect"]);
        (code, stdout + &stderr)
    };
    let address = kafka.address();
    let (code, said) = check();
    let lines = [
        format!("ok       [listener:n] kafka at {address}: {address} answers, no login, no TLS"),
        format!("ok       [listener:n] topic {TOPIC}: exists"),
        "warning  [listener:n] topic notifications.error: does not exist; ".to_owned(),
        format!("ok       [action:a] kafka at {address}: {address} answers, no login, no TLS"),
        "warning  [action:a] topic deletions.info: does not exist; ".to_owned(),
    ];
    for line in lines {
        assert!(said.contains(&line), "{line} is missing: {code:?}\n{said}");
    }
    assert_eq!(kafka.topics(), [TOPIC], "nothing was made");
    kafka.stop();
    wait_until(SOON, "the failure is told", || {
        let (code, said) = check();
        code != Some(0)
            && said.contains(&format!("failed   [listener:n] kafka at {address}: {address}: Connect to"))
    });
}
