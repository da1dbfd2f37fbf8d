use std::time::{Duration, Instant};

use osnl_testkit::{Browser, BrowserKey, Notice, RawMessage, Reply, Sink};
use serde_json::{Value, json};

use crate::reloading::{LISTENER, Rig, SOON, instance};

pub(crate) const TOKEN: &str = "0123456789abcdef-secret";
/// A name that would act as markup, at the end of an attribute, as an address, or by control and
/// bidirectional characters.
pub(crate) const HOSTILE: &str = "<script>window.hacked=1</script>\"><img src=x onerror=window.hacked=1>\
                                  <svg/onload=window.hacked=1>'javascript:window.hacked=1//\u{202e}evil\u{1b}[2J{{7*7}}";

const RULES: &str = "[rule:port-deleted]\nevent_type = ^port\\.delete\\.end\n\
                     actions = inventory, dns, billing, roles\n\
                     [rule:port-created]\nevent_type = ^port\\.create\\.end$\nguard = 1 per 1h\nactions = inventory\n";
const ADMIN: &str = "[admin]\nlisten = 127.0.0.1:0\ntoken = TOKEN\n";

pub(crate) struct Stage {
    pub(crate) browser: Browser,
    pub(crate) rig: Rig,
    pub(crate) base: String,
    admin: String,
    rest: String,
}

impl Stage {
    pub(crate) fn start(name: &str) -> Self {
        let mut stage = Self::with(name, "allow_changes = yes\n");
        stage.publish();
        stage.wait(|status| {
            let target = |action: &str| target(status, action);
            [
                ("quarantined", status["journal"]["quarantined"] == 2),
                ("waiting for release", target("inventory")["for_release"] == 2),
                ("delivered", target("inventory")["done"] == 5),
                ("dead", target("dns")["dead"] == 4),
                ("failing", target("billing")["failing"].as_array().is_some_and(|keys| !keys.is_empty())),
                ("down", target("roles")["state"] == "down"),
            ]
        });
        stage
    }

    pub(crate) fn with(name: &str, lines: &str) -> Self {
        let away = Sink::start();
        away.stop();
        let admin = format!("{}{lines}", ADMIN.replace("TOKEN", TOKEN));
        let rest = format!("{RULES}{}", actions(away.port()));
        let rig = Rig::with(name, &[&admin, LISTENER, &rest]);
        rig.sink.reply_when(|request| match request.target.rsplit('/').next() {
            Some("dns") => Some(Reply::StatusWith {
                status: 409,
                headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
                body: HOSTILE.as_bytes().to_vec(),
            }),
            Some("billing") => Some(Reply::Status(503)),
            _ => None,
        });
        let base = base(&rig);
        let browser = Browser::start();
        browser.set_width(1280);
        Self { browser, rig, base, admin, rest }
    }

    pub(crate) fn configure(&self, lines: &str) {
        self.rig.write(&[&self.admin, LISTENER, lines, &self.rest]);
    }

    pub(crate) fn again(&mut self) {
        self.rig.run();
        self.base = base(&self.rig);
    }

    pub(crate) fn publish_one(&mut self, event_type: &str, name: &str) {
        self.rig.publisher.notify_all(&[event(event_type, 1, &instance(1), name)]);
    }

    fn publish(&mut self) {
        let publisher = &mut self.rig.publisher;
        let hostile = format!("{HOSTILE}{}", "a long name ".repeat(10_000));
        publisher.notify_all(&[
            event("port.delete.end", 1, &instance(1), "web-1"),
            event("port.delete.end", 2, &instance(2), "database-replica-of-the-billing-department"),
            event("port.delete.end", 1, &instance(1), "web-1"),
            event(&format!("port.delete.end{HOSTILE}"), 3, HOSTILE, &hostile),
            event("port.create.end", 4, &instance(4), "web-4"),
            event("port.create.end", 5, &instance(5), "web-5"),
            event("port.create.end", 6, HOSTILE, &hostile),
            event("port.update.end", 1, HOSTILE, &hostile),
        ]);
        for body in [HOSTILE.as_bytes().to_vec(), b"\x00\x1b[2J\xff{".repeat(10_000)] {
            let properties = json!({"content_type": HOSTILE, "content_encoding": "utf-8"});
            publisher.raw(&RawMessage { body, properties, ..RawMessage::default() });
        }
    }

    #[track_caller]
    pub(crate) fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.base));
    }

    #[track_caller]
    pub(crate) fn path(&self) -> String {
        let address = self.browser.address();
        address.strip_prefix(&self.base).unwrap_or(&address).to_owned()
    }

    #[track_caller]
    pub(crate) fn log_in(&self, path: &str) {
        self.open(path);
        self.browser.write("#token", TOKEN);
        self.browser.press(BrowserKey::Enter);
        self.arrive(path);
    }

    #[track_caller]
    pub(crate) fn arrive(&self, path: &str) {
        let is_there = format!("return location.pathname + location.search === '{path}'");
        self.browser.wait(path, &is_there);
    }

    #[track_caller]
    pub(crate) fn shows(&self, words: &str) {
        let is_so = format!("return document.querySelector('main')?.innerText.includes('{words}') === true");
        self.browser.wait(words, &is_so);
    }

    #[track_caller]
    pub(crate) fn wait<const N: usize>(&self, wanted: impl Fn(&Value) -> [(&'static str, bool); N]) {
        let end = Instant::now() + SOON;
        loop {
            let status = self.rig.status();
            let missing: Vec<_> = wanted(&status).into_iter().filter(|(_, is_so)| !is_so).collect();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{missing:?} in {status:#}\n{}", self.rig.log());
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    #[track_caller]
    pub(crate) fn dead(&self, action: &str) -> Vec<String> {
        self.deliveries(action, "dead")
    }

    #[track_caller]
    pub(crate) fn deliveries(&self, action: &str, state: &str) -> Vec<String> {
        let (code, stdout, stderr) =
            self.rig.ask(&["deliveries", "list", "--state", state, "--action", action, "--format", "json"]);
        assert_eq!(code, Some(0), "{stderr}");
        let list: Value = serde_json::from_str(&stdout).unwrap();
        let ids = list["deliveries"].as_array().unwrap().iter();
        ids.map(|delivery| delivery["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn target(&self, action: &str) -> Value {
        target(&self.rig.status(), action).clone()
    }
}

fn target<'a>(status: &'a Value, action: &str) -> &'a Value {
    let mut targets = status["targets"].as_array().into_iter().flatten();
    targets.find(|target| target["action"] == action).unwrap_or(&Value::Null)
}

fn base(rig: &Rig) -> String {
    let log = rig.log();
    let (_, behind) = log.rsplit_once("the admin endpoint listens").unwrap_or_else(|| panic!("{log}"));
    let (_, behind) = behind.split_once("127.0.0.1:").unwrap_or_else(|| panic!("{log}"));
    let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
    format!("http://127.0.0.1:{port}")
}

fn actions(away: u16) -> String {
    let http = |name: &str, more: &str| format!("[action:{name}]\ndriver = http\nurl = SINK/{name}\n{more}");
    [
        http("inventory", ""),
        http("dns", "max_attempts = 1\n"),
        http("billing", "retry_interval = 1s\n"),
        http("roles", "retry_interval = 1s\n").replace("SINK", &format!("http://127.0.0.1:{away}")),
    ]
    .concat()
}

fn event(event_type: &str, key: usize, id: &str, name: &str) -> Notice {
    Notice {
        event_type: event_type.to_owned(),
        payload: json!({"port": {
            "id": id, "name": name, "device_id": instance(key), "admin_password": "hunter2",
            "fixed_ips": [{"ip_address": "10.0.0.1", "subnet_id": instance(99)}],
        }}),
        context: Some(json!({"user_id": "u", "request_id": "req-1", "project_name": name})),
        ..Notice::default()
    }
}
