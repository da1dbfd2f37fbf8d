use std::path::Path;

use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{
    Broker, BrokerObjects, OsloPublisher, PublisherOptions, RawMessage, Sink, Vhost, fixture, wait_until,
};
use serde_json::{Value, json};

use crate::harness::{Osnl, Place, SOON, settled};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");
pub(crate) const QUEUE: &str = "monitoring.info";
/// The last event of a test: its request proves that all earlier events were handled.
const LAST: &str = "the-last";

pub(crate) struct Stand {
    pub(crate) place: Place,
    pub(crate) vhost: Vhost,
    pub(crate) sink: Sink,
    publisher: OsloPublisher,
}

impl Stand {
    pub(crate) fn new(name: &str, more: &str) -> Self {
        let vhost = Broker::shared().vhost(name);
        let (place, sink) = (Place::new(), Sink::start());
        let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        publisher.prepare(&BrokerObjects {
            queue: QUEUE.to_owned(),
            routing_keys: vec![QUEUE.to_owned()],
            ..BrokerObjects::default()
        });
        let stand = Self { place, vhost, sink, publisher };
        stand.write(more);
        stand
    }

    pub(crate) fn write(&self, more: &str) {
        let url = self.vhost.url();
        let (login, place) = url.trim_start_matches("rabbit://").split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (authority, vhost) = place.split_once('/').unwrap();
        let (host, port) = authority.rsplit_once(':').unwrap();
        let rabbit = format!(
            "host={host}\nport={port}\nuser={user}\npassword={password}\nvirtual_host={}\nwatch_queue",
            vhost.trim_start_matches('/')
        );
        let text = fixture::text("oss/document.conf")
            .replace("host=localhost\nport=5672\npassword=passwprd\nuser=user\nwatch_queue", &rabbit)
            .replace("/var/logs/oss.log", self.place.path("oss.log").to_str().unwrap())
            .replace("https://some_host\nport=80", &format!("http://127.0.0.1\nport={}", self.sink.port()));
        let text = text.split("[openstack]").next().unwrap();
        self.place.write("oss.conf", format!("{text}\n{more}\n"));
    }

    pub(crate) fn start(&self) -> Osnl {
        let link = self.place.path("oss_watcher");
        if !link.exists() {
            std::os::unix::fs::symlink(OSNL, &link).unwrap();
        }
        self.place.run(&link, &["--config-file=oss.conf"]).listening()
    }

    pub(crate) fn publish(&mut self, body: impl AsRef<[u8]>) {
        let raw = RawMessage {
            exchange: String::new(),
            routing_key: QUEUE.to_owned(),
            body: body.as_ref().to_vec(),
            ..RawMessage::default()
        };
        self.publisher.raw(&raw);
    }

    pub(crate) fn last(&mut self) {
        let payload = json!({"instance_id": LAST, "hostname": LAST, "fixed_ips": [{"address": "10.9.9.9"}]});
        self.publish(message("compute.instance.create.end", &payload).to_string());
    }

    fn posted(&self) -> Vec<String> {
        let done = || self.sink.requests().iter().any(|request| line(&request.body).contains(LAST));
        wait_until(SOON, "the last request", done);
        settled(&self.vhost, QUEUE);
        let requests = self.sink.requests().into_iter();
        let lines = requests.map(|request| format!("{} {}", request.target, line(&request.body)));
        lines.filter(|line| !line.contains(LAST)).collect()
    }
}

fn line(body: &[u8]) -> String {
    let node: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| node[key].as_str().unwrap_or("null").to_owned();
    format!("{} {}", text("IP"), text("FQDN"))
}

fn message(event_type: &str, payload: &Value) -> Value {
    json!({
        "event_type": event_type, "payload": payload, "priority": "INFO", "publisher_id": "compute.c",
        "message_id": fastrand_id(), "timestamp": "2026-11-20 05:04:05.000000",
    })
}

fn fastrand_id() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("id-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn recorded(file: &str, case: &str, bare: bool) -> Vec<String> {
    let file = fixture::json(&format!("emission/captures/{file}.json"));
    let messages = file["cases"][case].as_array().unwrap().iter();
    messages
        .map(|message| {
            let body = message["body_text"].as_str().unwrap().to_owned();
            match bare {
                false => body,
                true => {
                    let envelope: Value = serde_json::from_str(&body).unwrap();
                    envelope["oslo.message"].as_str().unwrap().to_owned()
                }
            }
        })
        .collect()
}

#[test]
fn stock_services_are_told_of_in_both_framings_and_both_of_novas_forms() {
    for bare in [false, true] {
        for (create, delete, address) in [
            ("legacy_compute_instance_create_end", "legacy_compute_instance_delete_end", "172.24.4.9"),
            ("instance_create_end", "instance_delete_end", "10.0.0.7"),
        ] {
            let mut stand = Stand::new(&format!("oss-{bare}-{create}").replace('_', "-"), "");
            let osnl = stand.start();
            for (file, case) in [
                ("nova", create),
                ("neutron", "floatingip_create_unassociated"),
                ("neutron", "floatingip_update_associate"),
                ("neutron", "floatingip_update_description_only"),
                ("neutron", "floatingip_update_disassociate"),
                ("neutron", "floatingip_update_description_while_free"),
                ("nova", delete),
            ] {
                for body in recorded(file, case, bare) {
                    stand.publish(body);
                }
            }
            stand.last();
            let expected = [
                format!("/some_url {address} web-1"),
                "/some_url 172.24.4.174 web 1".to_owned(),
                "/some_url2 172.24.4.174 web 1".to_owned(),
                format!("/some_url2 {address} web-1"),
            ];
            // Instance and floating IP have separate lanes until the port is known, so posts are
            // compared without order.
            let (mut posted, mut expected) = (stand.posted(), expected.to_vec());
            posted.sort();
            expected.sort();
            assert_eq!(posted, expected, "{bare} {create}");
            let log = osnl.stop();
            check_log(&log);
            assert_eq!(stand.place.read("oss.log"), log, "the file has the same lines");
        }
    }
}

#[track_caller]
fn check_log(log: &str) {
    for line in log.lines() {
        let (time, rest) = line.split_at_checked(20).unwrap_or_default();
        let digits = time.bytes().zip(b"0000-00-00 00:00:00 ").all(|(found, wanted)| match wanted {
            b'0' => found.is_ascii_digit(),
            wanted => found == *wanted,
        });
        let (level, rest) = rest.split_once(' ').unwrap_or_default();
        let known = ["INFO", "WARNING", "ERROR"].contains(&level);
        assert!(digits && known && rest.starts_with('(') && rest.contains(") "), "{line}");
    }
    for line in [
        "INFO (service) Listen queue monitoring.info",
        "INFO (service) Handled events of creation: compute.instance.create.endfloatingip.update.end",
        "INFO (service) Handled events of deletion: compute.instance.delete.endfloatingip.update.end",
        "INFO (service) Plugin `oss_framework.plugins.rest_plugin.RESTNotify`is loaded.",
        "INFO (base_connection) Connecting to 127.0.0.1:",
        "INFO (service) Handle event `floatingip.update.end`.",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    assert!(!log.contains("password"), "{log}");
}

#[test]
fn a_request_is_the_programs() {
    let mut stand = Stand::new("oss-bytes", "[rest]\nbody = xml\n[oss]\nkeys = flattened");
    let osnl = stand.start();
    let file = fixture::json("oss/original-behaviour.json");
    let input = &file["inputs"]["legacy create.end"];
    stand.publish(input.to_string());
    let requests = stand.sink.wait_for(1, SOON);
    let body = "<execution-context  xmlns=\"http://www.vmware.com/vco\"><parameters><parameter name=\"nodeDetails\" \
        type=\"string\"><string>{\"Hostname\": \"web-1\", \"IP\": \"172.24.4.9\", \"ID\": \"33333333-aaaa-4bbb-8ccc-000000000001\", \
        \"IPType\": \"Public\", \"OS\": \"Ubuntu\", \"Storage\": 25, \"Ram\": 2048, \"CPU\": 2, \"Datacenter\": \"KDC\", \
        \"SecurityDomain\": \"DQT\", \"CreationDate\": \"2024-05-06 07:08:09+00:00\", \"ApplicationName\": \"shop\", \
        \"Owner\": \"alice\"}</string></parameter></parameters></execution-context>";
    assert_eq!(String::from_utf8_lossy(&requests[0].body), body);
    let head = String::from_utf8_lossy(&requests[0].head).into_owned();
    let expected = format!(
        "POST /some_url HTTP/1.1\r\nContent-Type: application/xml\r\nAuthorization: Basic dXNlcjpwYXNzd29yZA==\r\n\
         Idempotency-Key: b261bd8267a24f6bacee831bb97736b1/oss_watcher/oss_watcher\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\r\n",
        stand.sink.port(),
        body.len()
    );
    assert_eq!(
        head.replace("f118efbe-0441-4ada-a820-51b9c123822e", "b261bd8267a24f6bacee831bb97736b1"),
        expected
    );
    osnl.stop();
}

#[test]
fn nothing_that_ended_the_original_ends_ours() {
    let mut stand = Stand::new("oss-failures", "");
    let mut osnl = stand.start();
    let file = fixture::json("oss/original-behaviour.json");
    for body in [
        "no JSON".to_owned(),
        "{}".to_owned(),
        "[1]".to_owned(),
        json!({"payload": {}}).to_string(),
        json!({"event_type": null, "payload": {}}).to_string(),
        message("compute.instance.create.end", &json!({"instance_id": "i", "fixed_ips": "none"})).to_string(),
        message("compute.instance.create.end", &json!({})).to_string(),
        message("compute.instance.create.end", &json!("text")).to_string(),
        message("floatingip.update.end", &json!({"floatingip": null})).to_string(),
        message("floatingip.update.end", &json!({})).to_string(),
        file["inputs"]["legacy create.end with no fixed ip at all"].to_string(),
        // Stock neutron and nova: the server's name is known from its creation, but no event has
        // its addresses.
        file["inputs"]["floatingip.update.end associate, stock neutron"].to_string(),
        file["inputs"]["legacy delete.end, stock nova (no fixed_ips)"].to_string(),
    ] {
        stand.publish(body);
    }
    // A volume-booted server has no image.
    let volume = json!({"instance_id": "v", "hostname": "v", "image_meta": {}, "image_ref_url": "", "fixed_ips": [{"address": "10.0.0.8"}]});
    stand.publish(message("compute.instance.create.end", &volume).to_string());
    stand.last();
    assert!(osnl.is_running());
    let mut posted = stand.posted();
    posted.sort();
    assert_eq!(
        posted,
        ["/some_url 10.0.0.8 v", "/some_url 172.24.4.174 web 1", "/some_url2 null web-1"],
        "{}",
        osnl.stderr()
    );
    osnl.stop();
}

/// The original logged each of its attempts, ten seconds apart, and took a missing queue for an
/// unreachable broker.
#[test]
fn a_queue_that_comes_later_is_read_and_said_once() {
    let vhost = Broker::shared().vhost("oss-later");
    let (place, sink) = (Place::new(), Sink::start());
    let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let mut stand = Stand { place, vhost, sink, publisher };
    stand.write("");
    let link = stand.place.path("oss_watcher");
    std::os::unix::fs::symlink(OSNL, &link).unwrap();
    let osnl = stand.place.run(&link, &["--config-file=oss.conf"]);
    osnl.wait_for("WARNING (service) Rabbit service is unavailable");
    osnl.wait_for("does not exist, and osnl declares nothing here");
    assert_eq!(stand.vhost.list_queues(), [], "nothing is declared");
    stand.publisher.prepare(&BrokerObjects { queue: QUEUE.to_owned(), ..BrokerObjects::default() });
    let osnl = osnl.listening();
    stand.last();
    assert_eq!(stand.posted(), [""; 0]);
    let log = osnl.stop();
    for once in ["Rabbit service is unavailable", "(base_connection) Connecting to "] {
        assert_eq!(log.matches(once).count(), 1, "{once}\n{log}");
    }
}

#[test]
fn a_restart_knows_what_was_seen() {
    let mut stand = Stand::new("oss-restart", "");
    let journal = stand.place.path("journal.db");
    stand.write(&format!("[journal]\nconnection = sqlite://{}\nallow_volatile = true", journal.display()));
    let osnl = stand.start();
    for (file, case) in [("nova", "instance_create_end"), ("neutron", "floatingip_update_associate")] {
        recorded(file, case, false).into_iter().for_each(|body| stand.publish(body));
    }
    stand.sink.wait_for(2, SOON);
    settled(&stand.vhost, QUEUE);
    osnl.stop();
    let osnl = stand.start();
    for (file, case) in [("neutron", "floatingip_update_disassociate"), ("nova", "instance_delete_end")] {
        recorded(file, case, false).into_iter().for_each(|body| stand.publish(body));
    }
    // Journalled events are acknowledged, and may be posted later.
    stand.sink.wait_for(4, SOON);
    stand.last();
    let mut posted = stand.posted();
    posted.sort();
    assert_eq!(
        posted,
        [
            "/some_url 10.0.0.7 web-1",
            "/some_url 172.24.4.174 web 1",
            "/some_url2 10.0.0.7 web-1",
            "/some_url2 172.24.4.174 web 1"
        ]
    );
    osnl.stop();
}

#[test]
fn the_programs_flags_are_there_and_a_wrong_file_does_not_start() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let mut osnl = place.run(Path::new(OSNL), args);
        let (code, stderr) = osnl.refused();
        (code, osnl.stdout(), stderr)
    };
    let (code, stdout, _) = run(&["oss-watcher", "--version"]);
    assert_eq!((code, &*stdout), (Some(0), concat!("2015.1 (osnl ", env!("CARGO_PKG_VERSION"), ")\n")));
    let (code, stdout, _) = run(&["oss_watcher", "--help"]);
    assert_eq!(code, Some(0));
    for flag in ["--config-file", "--config-dir", "--version", "--help"] {
        assert!(stdout.contains(flag), "{stdout}");
    }
    let (code, _, stderr) = run(&["oss-watcher", "--config-file=missing.conf"]);
    assert_eq!(
        (code, &*stderr),
        (
            Some(1),
            "oss-watcher: error: missing.conf: there is no such file; create it, or name another one\n"
        )
    );
    place.write("bad.conf", "[DEFAULT]\nenabled_plugins = nothing\n[rabbit]\nport = x\n");
    let (code, _, stderr) = run(&["oss-watcher", "--config-file", "bad.conf"]);
    assert_eq!((code, stderr.lines().count()), (Some(1), 2), "{stderr}");
    place.write("log.conf", "[DEFAULT]\nlog_file = no/such/folder/oss.log\n[rest]\nhost = http://h\n");
    let (code, _, stderr) = run(&["oss-watcher", "--config-file=log.conf"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("log file no/such/folder/oss.log"), "{stderr}");
    let (code, stdout, stderr) = run(&["config", "show", "--oss-watcher", "log.conf"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("driver = oss_rest") && !stdout.contains("= password\n"), "{stdout}");
    place.write("shown.conf", &stdout);
    let (code, _, stderr) = run(&["check", "-c", "shown.conf"]);
    assert_eq!(code, Some(78));
    assert!(stderr.contains("log file no/such/folder/oss.log"), "{stderr}");
    let old = "[DEFAULT]\nlog_file = no/such/folder/k.log\n[k2hr3]\napi_url = http://127.0.0.1:1/\n";
    place.write("k.conf", old);
    for (flag, file) in [("--oss-watcher", "log.conf"), ("--k2hr3-osnl", "k.conf")] {
        let (code, stdout, stderr) = run(&["check", flag, file]);
        assert_eq!(code, Some(78), "{stdout}{stderr}");
        let place = format!("{file}:2: [DEFAULT] log_file: log file no/such/folder/");
        assert!(stderr.contains(&place), "{stderr}");
    }
    place.write("log.conf", "[DEFAULT]\nlog_file = oss.log\n[rest]\nhost = http://h\n");
    let (code, stdout, stderr) = run(&["check", "--oss-watcher", "log.conf"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("POST http://h:80/ for what comes"), "{stdout}");
    assert!(stdout.contains("In osnl's own form, whose options are named below"), "{stdout}");
}

#[test]
fn the_cloud_of_the_file_is_asked_for_what_no_event_has_told() {
    let cloud = Openstack::start();
    let path = |id: &str| format!("/compute/v2.1/servers/{id}");
    cloud.put(&path("33333333-aaaa-4bbb-8ccc-000000000001"), cloud.get(&path(Openstack::id("server"))));
    let group = format!(
        "[rest]\nbody = json\n[openstack]\nauth_url = {}\nuser = {USER}\npassword = {PASSWORD}\ntenant = oss",
        cloud.auth_url().replace("/v3", "/v2.0")
    );
    let mut stand = Stand::new("oss-cloud", &group);
    let osnl = stand.start();
    recorded("neutron", "floatingip_update_associate", false)
        .into_iter()
        .for_each(|body| stand.publish(body));
    let requests = stand.sink.wait_for(1, SOON);
    settled(&stand.vhost, QUEUE);
    let node: Value = serde_json::from_slice(&requests[0].body).unwrap();
    let expected = json!({
        "FQDN": "web 1", "IP": "172.24.4.174", "IPType": "Public", "OS": "Ubuntu", "Storage": 20, "Ram": 0.5, "CPU": 1,
        "Datacenter": "KDC", "SecurityDomain": "DQT", "Owner": "ops", "AdditionalUsers": [], "ApplicationName": "shop",
        "EnvironmentCI": null, "Description": null, "CreationDate": "2024-05-06",
    });
    assert_eq!(node, expected);
    let log = osnl.stop();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARNING")).collect();
    assert!(!log.contains(PASSWORD) && warnings.is_empty(), "{log}");
    let shown = |flags: &[&str]| {
        let mut osnl = stand.place.run(Path::new(OSNL), &[&["config", "show"], flags].concat());
        let (code, stderr) = osnl.refused();
        assert_eq!(code, Some(0), "{stderr}");
        osnl.stdout()
    };
    let text = shown(&["--oss-watcher", "oss.conf"]);
    assert!(text.contains("[enrich:openstack]") && text.contains("ask = openstack"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(shown(&["--show-secrets", "--oss-watcher", "oss.conf"]).contains(PASSWORD));
}

#[test]
fn a_plug_in_is_called_with_what_is_posted() {
    let mut stand = Stand::new("oss-plugin", "");
    let (folder, out) = (stand.place.path("plugins"), stand.place.path("out"));
    std::fs::create_dir_all(folder.join("new_plugin")).unwrap();
    let plugin = format!(
        "import json\nimport logging\n\nfrom oslo.config import cfg\nfrom oss_framework.plugins import base\n\n\n\
         LOG = logging.getLogger(__name__)\nCONF = cfg.CONF\n\n\nclass YourPlugin(base.BasePlugin):\n    \
         \"\"\"Plugin for handling of events\"\"\"\n\n    def notify(self, node_detail, created):\n        \
         \"\"\"Make some operation after event.\"\"\"\n        data = json.dumps(node_detail)\n        \
         with open({out:?}, 'a') as out:\n            out.write('%s %s %s\\n' % (created, CONF.rest.user, data))\n"
    );
    std::fs::write(folder.join("new_plugin/__init__.py"), plugin).unwrap();
    stand.write(&format!(
        "[DEFAULT]\nenabled_plugins = rest_plugin.RESTNotify,new_plugin.YourPlugin\nplugin_path = {}",
        folder.display()
    ));
    let osnl = stand.start();
    for (file, case) in
        [("neutron", "floatingip_update_associate"), ("neutron", "port_delete_with_floatingip")]
    {
        recorded(file, case, false).into_iter().for_each(|body| stand.publish(body));
    }
    let requests = stand.sink.wait_for(2, SOON);
    settled(&stand.vhost, QUEUE);
    let text = |n: usize| String::from_utf8_lossy(&requests[n].body).into_owned();
    let expected = format!("True user {}\nFalse user {}\n", text(0), text(1));
    assert_eq!(stand.place.read("out"), expected, "{}", osnl.stderr());
    let log = osnl.stop();
    assert!(log.contains("Plugin `oss_framework.plugins.new_plugin.YourPlugin`is loaded."), "{log}");
}

#[test]
fn a_plug_in_that_raises_keeps_no_other_from_being_called() {
    let mut stand = Stand::new("oss-raises", "");
    let folder = stand.place.path("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    let plugin = "class Bad(object):\n    def notify(self, node_detail, created):\n        raise ValueError('no such table')\n";
    std::fs::write(folder.join("bad_plugin.py"), plugin).unwrap();
    stand.write(&format!(
        "[DEFAULT]\nenabled_plugins = bad_plugin.Bad,rest_plugin.RESTNotify\nplugin_path = {}",
        folder.display()
    ));
    let osnl = stand.start();
    stand.last();
    stand.last();
    stand.sink.wait_for(2, SOON);
    osnl.wait_for("no such table");
    osnl.stop();
}
