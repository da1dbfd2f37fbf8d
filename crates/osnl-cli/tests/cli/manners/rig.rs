use std::path::Path;

use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{
    Broker, Notice, OsloPublisher, PublisherOptions, RawMessage, Reply, Sink, Vhost, closed_port, wait_until,
};
use serde_json::{Value, json};

use super::OSNL;
use crate::harness::{Osnl, PROMPTLY, Place, SOON, instance};

pub(super) struct Rig {
    pub(super) place: Place,
    pub(super) vhost: Vhost,
    pub(super) sink: Sink,
    openstack: Openstack,
    publisher: OsloPublisher,
    daemon: Option<Osnl>,
}

#[derive(Debug)]
pub(super) struct CallResult {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Rig {
    pub(super) fn start(name: &str) -> Self {
        let (place, sink) = (Place::new(), Sink::start());
        let vhost = Broker::shared().vhost(name);
        sink.reply_when(|request| request.target.contains("000000000001").then_some(Reply::Status(409)));
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        let openstack = Openstack::start();
        openstack.roles(&["admin"]);
        place.write("ids.txt", Openstack::id("port"));
        let mut rig = Self { place, vhost, sink, openstack, publisher, daemon: None };
        rig.place.write("a.conf", rig.conf());
        rig.place.write("event.json", notice("port.delete.end", 3).to_string());
        std::fs::create_dir(rig.place.path("tests")).unwrap();
        rig.place.write("tests/gone.json", notice("port.delete.end", 3).to_string());
        rig.place
            .write("tests/a.test", "[test:a port goes]\nevent = gone.json\nrules = forget-ports, tell\n");
        rig.run();
        for (event_type, instance) in
            [("port.delete.end", 1), ("port.delete.end", 2), ("port.create.end", 4), ("subnet.create.end", 5)]
        {
            rig.publish(event_type, instance);
        }
        rig.publisher.raw(&RawMessage {
            body: br#"{"message_id": "m-unread", "publisher_id": "network.node1", "adminPass": "S3CRET""#
                .to_vec(),
            ..RawMessage::default()
        });
        rig.publisher.raw(&RawMessage {
            body: b"{\"event_type\": \"without a secret\"".to_vec(),
            ..RawMessage::default()
        });
        rig.wait("roles", "dead", 1);
        rig.wait("roles", "done", 1);
        wait_until(SOON, "two messages are kept unread", || rig.status()["journal"]["quarantined"] == 2);
        // The attempted delivery waits for the target while it waits for its next attempt.
        wait_until(SOON, "cmdb is down", || rig.target("cmdb")["state"] == "down");
        let unmatched = ["explain", "-c", "a.conf", "--unmatched"];
        wait_until(SOON, "what no rule wanted is kept", || {
            rig.execute(&unmatched).stdout.contains("subnet.create.end")
        });
        rig
    }

    pub(super) fn conf(&self) -> String {
        let (state, audit) = (self.place.path("state"), self.place.path("audit.jsonl"));
        format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\nkeep_unmatched = 100\n\
             [listener:neutron]\ntransport_url = {}\nexchange = neutron\ndeclare = create\n\
             pool = osnl\n[rule:forget-ports]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
             [rule:tell]\npayload.port.device_id = .*00000[13]$\nevent_type = ^port\\.delete\\.end$\nactions = cmdb\n\
             [rule:new-ports]\nevent_type = ^port\\.create\\.end$\nactions = audit\nmode = shadow\n\
             [action:roles]\ndriver = k2hr3\napi_url = {}\nmax_attempts = 1\n\
             [action:cmdb]\ndriver = http\nurl = http://127.0.0.1:{}/hosts\n\
             [action:audit]\ndriver = dump\npath = {}\n\
             [enrich:port]\nkind = port\nauth_url = {}\nusername = {USER}\npassword = {PASSWORD}\nproject_name = oss\n",
            state.display(),
            self.vhost.url(),
            self.sink.url("/v1/role"),
            closed_port(),
            audit.display(),
            self.openstack.auth_url(),
        )
    }

    fn run(&mut self) {
        self.daemon = Some(self.place.run(Path::new(OSNL), &["run", "-c", "a.conf"]));
        wait_until(SOON, "it listens", || self.status()["listeners"][0]["state"] == "listening");
    }

    pub(super) fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
    }

    pub(super) fn publish(&mut self, event_type: &str, instance: usize) {
        let body = notice(event_type, instance);
        self.publisher.notify_all(&[Notice {
            exchange: "neutron".to_owned(),
            topic: "notifications".to_owned(),
            publisher_id: "network.node1".to_owned(),
            event_type: event_type.to_owned(),
            payload: body["payload"].clone(),
            ..Notice::default()
        }]);
    }

    pub(super) fn execute(&self, args: &[&str]) -> CallResult {
        let mut osnl = self.place.run(Path::new(OSNL), args);
        let code = osnl.wait(PROMPTLY).code();
        CallResult { code, stdout: osnl.stdout(), stderr: osnl.stderr() }
    }

    pub(super) fn status(&self) -> Value {
        let told = self.execute(&["status", "-c", "a.conf", "--format", "json"]);
        serde_json::from_str(&told.stdout).unwrap_or_default()
    }

    fn target(&self, action: &str) -> Value {
        let status = self.status();
        let targets = status["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().find(|target| target["action"] == action).unwrap_or_default()
    }

    pub(super) fn wait(&self, action: &str, of: &str, count: u64) {
        wait_until(SOON, &format!("{action}: {count} {of}"), || self.target(action)[of] == count);
    }
}

pub(super) fn notice(event_type: &str, n: usize) -> Value {
    json!({
        "event_type": event_type, "publisher_id": "network.node1", "priority": "INFO",
        "message_id": format!("11111111-2222-3333-4444-{n:012}"), "timestamp": "2026-11-20 05:04:03.000001",
        "payload": {"port": {"device_id": instance(n), "device_owner": "compute:nova", "admin_password": "S3CRET",
                             "fixed_ips": [{"ip_address": "10.0.0.1"}]}},
    })
}
