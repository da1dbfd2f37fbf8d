//! Each driver sends the results from before its first attempt, also after a restart, even if the cloud has changed.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;

use osnl::enrich::AnswerForecast;
use osnl::explain::{ExplainedEvent, Explainer};
use osnl::journal::query::Filter;
use osnl::journal::sqlite::SqliteReader;
use osnl::native::{Native, Preview};
use osnl_testkit::openstack::Openstack;
use osnl_testkit::{Broker, Sink, wait_until};
use serde_json::{Value, json};

use super::{SERVERS, Stage, load};
use crate::exec::python;
use crate::harness::SOON;
use crate::outputs::mail::Server;
use crate::outputs::publish::KeyReader;

impl Stage {
    fn with(&self, action: &str) -> Native {
        let http = self.conf("enrich = server", "cache_ttl = 0\n");
        let enrich = http.enrichments[0].cloud.auth_url.to_string();
        load(&format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n\
             [listener:l]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
             pool = osnl\n[rule:r]\nevent_type = ^port\\.\nactions = a\n\
             [action:a]\nenrich = server\nretry_interval = 0s\nmax_attempts = 100000\n{action}\n\
             [enrich:server]\nkind = server\nauth_url = {enrich}\nusername = {}\npassword = {}\nproject_name = oss\n\
             cache_ttl = 0\n",
            self.folder.path().display(),
            osnl_testkit::openstack::USER,
            osnl_testkit::openstack::PASSWORD,
        ))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

#[track_caller]
fn check(stage: &Stage, action: &str, mend: impl FnOnce(), received: impl FnOnce() -> String) {
    let conf = stage.with(action);
    let daemon = stage.start(&conf);
    stage.port(1, Openstack::id("server"));
    // The journal has the first attempt when the second begins.
    daemon.wait_until("it was tried twice", |c| c.failures.get() > 1);
    daemon.abort().unwrap();
    assert_eq!(stage.openstack.count(SERVERS), 1, "{action}");
    stage.rename("another");
    mend();
    let daemon = stage.start(&conf);
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let received = received();
    assert!(received.contains("web 1") && !received.contains("another"), "{action}\n{received}");
    assert_eq!(stage.openstack.count(SERVERS), 1, "{action}");
}

fn full(stage: &Stage) -> (String, impl FnOnce() + use<>) {
    let path = stage.path("out");
    symlink("/dev/full", &path).unwrap();
    (path.clone(), move || fs::remove_file(path).unwrap())
}

fn enrichments(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["enrichments"]["server"].to_string()
}

#[test]
fn dump_and_file_write_the_same_line() {
    for action in
        ["driver = dump", "driver = file", "driver = file\nformat = template\ntemplate = {{ server.name }}"]
    {
        let stage = Stage::new();
        let (path, mend) = full(&stage);
        let written = || {
            let text = fs::read_to_string(&path).unwrap();
            if action.contains("template") { text } else { enrichments(&text) }
        };
        check(&stage, &format!("{action}\npath = {path}"), mend, written);
    }
}

#[test]
fn syslog_sends_the_same_message() {
    let stage = Stage::new();
    let (path, socket) = (stage.path("log"), RefCell::new(None));
    let bind = || drop(socket.replace(Some(UnixDatagram::bind(&path).unwrap())));
    let received = || {
        let mut bytes = [0; 4096];
        let read = socket.borrow().as_ref().unwrap().recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    };
    check(
        &stage,
        &format!("driver = syslog\nserver = {path}\nmessage = of {{{{ server.name }}}}"),
        bind,
        received,
    );
}

#[test]
fn a_mail_has_the_same_text_and_recipient() {
    let stage = Stage::new();
    let place = Sink::start();
    place.stop();
    let port = place.port();
    let action = format!(
        "driver = mail\nserver = localhost:{port}\ntls = none\nfrom = osnl@example.com\n\
         to = {{{{ server.metadata.Owner }}}}@example.com\nsubject = {{{{ server.name }}}}"
    );
    let server = RefCell::new(None);
    let start = || drop(server.replace(Some(Server::start(&json!({"port": port})))));
    let received = || {
        let mail = server.borrow_mut().as_mut().unwrap().next();
        assert_eq!(mail["to"], json!(["ops@example.com"]));
        mail["headers"]["subject"].to_string()
    };
    check(&stage, &action, start, received);
}

#[test]
fn a_message_is_published_with_the_same_payload() {
    let vhost = Broker::shared().vhost("enriched");
    for format in ["notification", "raw", "cloudevents"] {
        let stage = Stage::new();
        let action = format!(
            "driver = publish\ntransport_url = {}\nexchange = of-{format}\nformat = {format}\n\
             payload = {{{{ {{'host': server.name}} }}}}",
            vhost.url()
        );
        let reading = RefCell::new(None);
        let make = || {
            drop(reading.replace(Some(KeyReader::at(
                &vhost,
                &format!("of-{format}"),
                "notifications",
                "info",
            ))))
        };
        let received = || {
            let message = reading.borrow_mut().as_mut().unwrap().next();
            String::from_utf8(message.body.to_vec()).unwrap()
        };
        check(&stage, &action, make, received);
    }
}

#[test]
fn a_program_reads_the_same_object() {
    let stage = Stage::new();
    let (good, sent) = (stage.path("good"), stage.path("sent"));
    let script = stage.path("notify.sh");
    fs::write(&script, format!("if [ -e {good} ]; then cat > {sent}; else exit 75; fi\n")).unwrap();
    let action = format!("driver = exec\nmode = once\ncommand = /bin/sh, {script}");
    let mend = || fs::write(&good, "").unwrap();
    check(&stage, &action, mend, || enrichments(&fs::read_to_string(&sent).unwrap()));
}

#[test]
fn a_plug_in_is_called_with_the_same_object() {
    let stage = Stage::new();
    let (good, sent) = (stage.path("good"), stage.path("sent"));
    let plugin = format!(
        "import json, os\nclass Plugin(object):\n    def notify(self, node_detail, created):\n        \
         if not os.path.exists({good:?}):\n            raise RuntimeError('later')\n        \
         json.dump(node_detail, open({sent:?}, 'w'))\n"
    );
    fs::write(stage.path("later.py"), plugin).unwrap();
    let folder = stage.folder.path().display();
    let action =
        format!("driver = python\npython = {}, -S\nplugin = later.Plugin\nplugin_path = {folder}", python());
    let mend = || fs::write(&good, "").unwrap();
    check(&stage, &action, mend, || enrichments(&fs::read_to_string(&sent).unwrap()));
}

/// A request without a configured body contains the enrichment, and `explain` shows the enrichment from the journal.
#[test]
fn the_event_itself_has_what_was_found_and_explain_shows_what_was_kept() {
    let stage = Stage::new();
    let conf = stage.conf("enrich = server\nheader.X-Server = {{ server.name }}", "cache_ttl = 0\n");
    let daemon = stage.start(&conf);
    stage.port(1, Openstack::id("server"));
    daemon.wait_until("it is delivered", |c| c.delivered.get() == 1);
    daemon.stop().unwrap();
    let sent: Value = serde_json::from_str(&stage.bodies()[0]).unwrap();
    assert_eq!(sent["enrichments"]["server"]["name"], "web 1");

    stage.rename("another");
    let reader = SqliteReader::open(&stage.folder.path().join("journal.db")).unwrap();
    let number = reader
        .event_numbers(&Filter { action: Some("hook".to_owned()), ..Filter::default() }, 9, true)
        .unwrap()[0];
    let kept = reader.event(number).unwrap().unwrap();
    let asked = reader.asked_for(&kept.deliveries).unwrap();
    let shown = |event: ExplainedEvent| {
        let trace = Explainer::new(&conf).trace(event);
        let effects = trace.rules[0].ruling.effects();
        let Preview::Request { headers, .. } = &effects[0].would else { panic!("{effects:?}") };
        let header = headers.iter().find(|(name, _)| name == "X-Server").unwrap().1.clone();
        (effects[0].asks[0].clone(), header)
    };
    let (ask, header) = shown(ExplainedEvent::from_received("event", &kept.received));
    assert_eq!(
        (ask.id.as_deref(), ask.value, header.as_str()),
        (Ok(Openstack::id("server")), AnswerForecast::Unknown, "<server.name>")
    );
    let (ask, header) = shown(ExplainedEvent::from_received("event", &kept.received).with_asked(asked));
    assert!(matches!(ask.value, AnswerForecast::Kept(_)));
    assert_eq!(header, "web 1");
    wait_until(SOON, "the requests are counted", || stage.openstack.count(SERVERS) == 1);
}
