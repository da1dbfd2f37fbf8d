//! Daemons on a shared journal are members of one group, and each continues where a partition's
//! former reader was.

use std::time::Duration;

use osnl_testkit::{KafkaCluster, MockKafka, Postgres, Sink, wait_until};
use serde_json::{Value, json};

use crate::running::{OsnlProcess, Place, SOON, TOPIC};

/// Longer than a group waits for a lost member.
const TAKE_OVER: Duration = Duration::from_secs(180);

struct Stage {
    kafka: MockKafka,
    sink: Sink,
    database: String,
}

impl Stage {
    fn start(&self, place: &Place, state: &str) -> OsnlProcess {
        place.write(
            "a.conf",
            &format!(
                "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = {}\nlease = 3s\nallow_volatile = true\n[listener:n]\n\
                 transport_url = {}\nexchange = n\npriorities = info\npool = osnl\n[rule:r]\nevent_type = ^port\\.\nactions = a\n\
                 [action:a]\ndriver = http\nurl = {}\nbody = {{\"n\": {{{{ payload.n }}}}, \"port\": \"{{{{ payload.port.id }}}}\"}}\n",
                place.path("state").display(),
                self.database,
                self.kafka.url(),
                self.sink.url("/"),
            ),
        );
        let daemon = place.start(&["run", "-c", "a.conf"]);
        // The mock cluster lets a second member wait for nearly the session's time-out.
        wait_until(TAKE_OVER, state, || status(place)["listeners"][0]["state"] == state);
        daemon
    }

    fn publish(&self, numbers: std::ops::Range<i32>) {
        for n in numbers {
            let port = n % 4;
            let body = json!({"event_type": "port.delete.end", "publisher_id": "n", "priority": "INFO",
                "message_id": format!("message-{n}"), "payload": {"n": n, "port": {"id": format!("port-{port}")}}});
            self.kafka.publish_to(TOPIC, port % 2, body.to_string().as_bytes(), Default::default());
        }
        self.kafka.flush();
    }

    fn of_port(&self, port: i64) -> Vec<i64> {
        let requests = self.sink.requests();
        let bodies = requests.iter().map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
        bodies.map(|body| body["n"].as_i64().unwrap()).filter(|n| n % 4 == port).collect()
    }

    #[track_caller]
    fn wait_for_delivered(&self, place: &Place, count: i64) {
        let totals = || {
            let args = ["deliveries", "list", "--limit", "1", "-c", "a.conf", "--format", "json"];
            serde_json::from_str::<Value>(&place.run(&args).1).unwrap_or_default()["totals"].clone()
        };
        wait_until(TAKE_OVER, "all of them to be recorded", || totals()["by_state"]["delivered"] == count);
        assert_eq!(totals()["all"], count);
        for port in 0..4 {
            let mut got = self.of_port(port);
            assert!(got.is_sorted(), "{port}: {got:?}");
            got.dedup();
            assert_eq!(got, (0..count).filter(|n| n % 4 == port).collect::<Vec<i64>>());
        }
    }
}

fn status(place: &Place) -> Value {
    serde_json::from_str(&place.run(&["status", "-c", "a.conf", "--format", "json"]).1).unwrap_or_default()
}

#[test]
fn daemons_share_a_group_and_each_goes_on_in_order_where_another_was() {
    let stage =
        Stage { kafka: MockKafka::start(), sink: Sink::start(), database: Postgres::shared().database() };
    stage.kafka.create_topic(TOPIC, 2);
    let (a, b) = (Place::new(), Place::new());
    let first = stage.start(&a, "listening");
    let second = stage.start(&b, "listening");
    stage.publish(0..20);
    stage.sink.wait_for(4, SOON);
    first.kill();
    stage.publish(20..40);
    stage.wait_for_delivered(&b, 40);
    let third = stage.start(&a, "listening");
    second.stop();
    stage.publish(40..60);
    stage.wait_for_delivered(&a, 60);
    third.stop();
}
