use osnl_testkit::{KafkaCluster as _, MockKafka, wait_until};
use serde_json::Value;

use super::lag;
use crate::running::{Place, SOON, TOPIC};

const CANARY: &str = "osnl_canary.info";

#[test]
fn a_canary_comes_back_where_its_topic_exists_and_the_check_says_if_it_does_not() {
    let (place, kafka) = (Place::new(), MockKafka::start());
    kafka.create_topic(TOPIC, 1);
    place.write("a.conf", &lag::conf(&place, &kafka, "[canary]\nlistener = n\nevery = 1s\n"));
    let check = || {
        let (code, stdout, stderr) = place.run(&["check", "-c", "a.conf", "--connect"]);
        (code, stdout + &stderr)
    };
    let (code, said) = check();
    let missing = format!(
        "failed   [listener:n] topic {CANARY} of the canary: does not exist, and osnl does not create it"
    );
    assert!(code != Some(0) && said.contains(&missing), "{code:?}: {said}");
    assert!(said.contains("--create --topic osnl_canary.info --partitions 1"), "{said}");
    let count = |result: &str| -> Option<u64> {
        let (scraped, name) = (place.metrics(), format!("osnl_canaries_total{{result=\"{result}\"}} "));
        scraped.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
    };
    // Only a member that reads its topic sends a canary.
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening at the broker");
    wait_until(SOON, "the time of several canaries", || {
        let (_, status, _) = place.run(&["status", "-c", "a.conf", "--format", "json"]);
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        status["listeners"][0]["since_seconds"].as_u64() >= Some(4)
    });
    assert_eq!((count("sent"), count("refused")), (Some(0), Some(0)));
    osnl.stop();
    kafka.create_topic(CANARY, 1);
    let (_, said) = check();
    assert!(
        said.contains(&format!(
            "ok       [listener:n] topic {CANARY} of the canary: exists, with one partition"
        )),
        "{said}"
    );
    let osnl = place.start(&["run", "-c", "a.conf"]);
    wait_until(SOON, "the endpoint is there", || osnl.log().matches("listening at the broker").count() == 2);
    wait_until(SOON, "a canary comes back", || count("returned") > Some(0));
    assert_eq!(count("refused"), Some(0));
    let log = osnl.stop();
    assert!(!log.contains("the canary cannot be sent"), "{log}");
}
