//! Both directions with the real oslo.messaging, whose Kafka driver stops at a message that it
//! cannot parse.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use osnl_testkit::{
    Guard, KAFKA_PEER, KafkaClient, KafkaCluster, MockKafka, Sink, python_program, wait_until,
};
use serde_json::{Value, json};

use crate::running::{Place, SOON, TOPIC};

struct OsloPeer {
    child: Child,
    input: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<Value>>>,
    _guard: Guard,
}

impl OsloPeer {
    fn start(role: &str, kafka: &KafkaClient) -> Self {
        let mut command = python_program("python");
        command.args(["-c", KAFKA_PEER, role, &kafka.url()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let guard = Guard::over(&[child.id()], None);
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = lines.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                read.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, input, lines, _guard: guard }
    }

    fn send(&mut self, line: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    fn end(mut self) -> Vec<Value> {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
        let lines = self.lines.lock().unwrap();
        lines.clone()
    }
}

#[test]
fn osnl_reads_from_kafka_what_oslo_publishes() {
    let kafka = MockKafka::start();
    osnl_reads(&kafka);
    assert_eq!(kafka.all(TOPIC).len(), 4);
}

pub(crate) fn osnl_reads(kafka: &impl KafkaCluster) {
    let (place, sink) = (Place::new(), Sink::start());
    kafka.create_topic(TOPIC, 2);
    let conf = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:n]\ntransport_url = {}\nexchange = neutron\n\
         priorities = info\npool = osnl\n[rule:r]\nevent_type = ^port\\.\ncontext.project_id = ^p1$\nactions = a\n\
         [action:a]\ndriver = http\nurl = {}\n",
        place.path("state").display(),
        kafka.url(),
        sink.url("/")
    );
    place.write("a.conf", &conf);
    let osnl = place.start(&["run", "-c", "a.conf"]);
    osnl.wait_for("listening");
    let mut oslo = OsloPeer::start("publish", kafka);
    let drivers = ["messaging", "messagingv2"];
    for driver in drivers {
        for (project, payload) in [("p1", json!({"driver": driver, "n": "é"})), ("p2", json!({}))] {
            let event = json!({"event_type": "port.delete.end", "driver": driver, "project": project, "payload": payload});
            oslo.send(&event);
        }
    }
    oslo.end();
    let requests = sink.wait_for(2, SOON);
    wait_until(SOON, "all are finished", || kafka.unfinished("osnl", TOPIC) == 0);
    let log = osnl.stop();
    for driver in drivers {
        let is_there =
            |body: &[u8]| String::from_utf8_lossy(body).contains(&format!("\"driver\":\"{driver}\""));
        assert!(requests.iter().any(|request| is_there(&request.body)), "{driver}: {requests:?}\n{log}");
    }
    assert_eq!(sink.requests().len(), 2, "the context decides\n{log}");
}

#[test]
fn oslo_reads_from_kafka_what_osnl_publishes() {
    oslo_reads(&MockKafka::start());
}

pub(crate) fn oslo_reads(kafka: &impl KafkaCluster) {
    let place = Place::new();
    kafka.create_topic(TOPIC, 1);
    let oslo = OsloPeer::start("listen", kafka);
    let count = || oslo.lines.lock().unwrap().len();
    wait_until(SOON, "oslo.messaging to listen", || count() > 0);
    let url = kafka.url();
    let send = |driver: &str, payload: &Value| {
        let (payload, context) = (payload.to_string(), r#"{"project_id": "p1", "auth_token": "S3CRET"}"#);
        let args = [
            "send",
            "--transport-url",
            &url,
            "--publisher-id",
            "network.n1",
            "--event-type",
            "port.delete.end",
        ];
        let more = ["--payload", &payload, "--context", context, "--driver", driver];
        let (code, stdout, stderr) = place.run(&[&args[..], &more[..]].concat());
        assert_eq!(code, Some(0), "{stdout}{stderr}");
    };
    // oslo.messaging reads only messages after it has joined its group, which no output shows.
    wait_until(SOON, "oslo.messaging reads", || {
        send("messagingv2", &json!({"first": true}));
        count() > 1
    });
    // The listener survives each message; a message with a missing field would have ended it.
    let payload = json!({"port": {"id": "é", "n": 12_345_678_901_234_567_u64}});
    for driver in ["messaging", "messagingv2"] {
        send(driver, &payload);
    }
    let of_payload = |line: &&Value| line["payload"] == payload;
    wait_until(SOON, "both are read", || oslo.lines.lock().unwrap().iter().filter(of_payload).count() == 2);
    let lines = oslo.end();
    for line in lines.iter().filter(of_payload) {
        assert_eq!(line["ctxt"], json!({"project_id": "p1", "auth_token": null}));
        assert_eq!(
            (&line["publisher_id"], &line["event_type"]),
            (&json!("network.n1"), &json!("port.delete.end"))
        );
        assert!(line["metadata"]["message_id"].is_string(), "{line}");
    }
}
