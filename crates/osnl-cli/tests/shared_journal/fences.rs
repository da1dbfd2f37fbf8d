//! Requests carry fences: a late request has a smaller fence than those of the daemon that took
//! over.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use osnl_testkit::{Notice, Postgres, Reply, SinkRequest, wait_until};
use serde_json::json;

use crate::stage::{SOON, Stage};

struct SlowNetwork(TcpListener);

impl SlowNetwork {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.0.local_addr().unwrap().port())
    }

    fn keep(&self) -> (TcpStream, Vec<u8>) {
        let mut accepted = None;
        wait_until(SOON, "a request", || {
            accepted = self.0.accept().ok();
            accepted.is_some()
        });
        let (mut stream, _) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&request));
            request.extend(&piece[..length]);
        }
        (stream, request)
    }
}

fn notice(n: u64) -> Notice {
    Notice { payload: json!({"n": n, "port": {"id": "port-0"}}), ..Notice::default() }
}

fn fence(request: &SinkRequest) -> u64 {
    request.header("osnl-fence").unwrap().parse().unwrap()
}

#[test]
fn a_request_of_a_stopped_daemon_arrives_late_with_a_smaller_fence() {
    let mut stage = Stage::new("fences", &Postgres::shared().database());
    let network = SlowNetwork::start();
    let first = stage.daemon_with("a", &[("url = TARGET", &format!("url = {}", network.url()))]);
    stage.notify(&[notice(0), notice(4)]);
    let (_connection, late) = network.keep();
    wait_until(SOON, "both to be kept", || stage.json("a", &["deliveries", "list"])["totals"]["all"] == 2);
    first.signal("STOP");
    let _second = stage.daemon("b");
    wait_until(SOON, "the other one to deliver both", || stage.delivered()[0] == [0, 4]);

    let mut connection = TcpStream::connect(("127.0.0.1", stage.sink.port())).unwrap();
    connection.write_all(&late).unwrap();
    let requests = stage.sink.wait_for(3, SOON);
    assert_eq!(stage.delivered()[0], [0, 4, 0]);
    let [first, next, late] = [0, 1, 2].map(|n| fence(&requests[n]));
    assert!(late < first && first < next, "{late} {first} {next}");
    assert!(next < 1 << 53);
    let key = |n: usize| requests[n].header("idempotency-key");
    assert_eq!(key(0), key(2), "it is the same delivery");
}

#[test]
fn a_template_has_the_fence_and_so_has_the_record_of_a_failed_attempt() {
    let mut stage = Stage::new("fence-names", &Postgres::shared().database());
    stage.sink.script(vec![Reply::Status(400)]);
    let edits = [
        ("retry_interval = 1s", "retry_interval = 1s\nfence_header = X-Fence\nquery.fence = {{ fence }}"),
        ("\"n\": ", "\"fence\": {{ fence or 0 }}, \"n\": "),
    ];
    let shared = stage.daemon_with("a", &edits);
    stage.notify(&[notice(0)]);
    let requests = stage.sink.wait_for(2, SOON);
    let fences: Vec<String> = requests.iter().map(|one| one.header("x-fence").unwrap().to_owned()).collect();
    for (request, fence) in requests.iter().zip(&fences) {
        assert_eq!(request.target, format!("/hook?fence={fence}"));
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["fence"].as_u64(), fence.parse().ok(), "{body}");
    }
    let number = |fence: &str| fence.parse::<u64>().unwrap();
    assert!(number(&fences[0]) < number(&fences[1]), "{fences:?}");
    let listed = || stage.json("a", &["deliveries", "list"])["deliveries"][0].clone();
    wait_until(SOON, "the end to be recorded", || listed()["state"] == "delivered");
    let (_, shown) = stage.run("a", &["deliveries", "show", listed()["id"].as_str().unwrap()]);
    assert!(shown.contains(&format!("x-fence: {}", fences[0])), "{shown}");
    drop(shared);

    let alone = [("DATABASE\nlease = 3s", "sqlite://HOME/journal.db"), edits[0], edits[1]];
    let _file = stage.daemon_with("file", &alone);
    stage.notify(&[notice(1)]);
    let request = &stage.sink.wait_for(3, SOON)[2];
    assert_eq!((request.header("x-fence"), &*request.target), (None, "/hook?fence="));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({"port": "port-0", "fence": 0, "n": 1}));
}
