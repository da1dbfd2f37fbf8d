//! `osnl run` on a journal, between a real broker and a target, with a disk and a clock that the
//! test can break.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

use osnl_testkit::{Broker, Guard, Notice, OsloPublisher, PublisherOptions, Sink, Vhost, wait_until};
use tempfile::TempDir;

use crate::harness::{SOON, instance, port_deleted};

pub(crate) const QUEUE: &str = "osnl";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/preload.c");

pub(crate) struct Rig {
    pub(crate) home: TempDir,
    pub(crate) vhost: Vhost,
    pub(crate) sink: Sink,
    publisher: OsloPublisher,
    published: usize,
    running: Option<(Child, Guard)>,
}

impl Rig {
    pub(crate) fn new(name: &str) -> Self {
        let home = crate::private_folder().unwrap();
        let vhost = Broker::shared().vhost(name);
        let sink = Sink::start();
        let text = format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = yes\n[listener:neutron]\ntransport_url = {}\n\
             exchange = neutron\ndeclare = create\npool = osnl\n[rule:r]\nactions = roles\n\
             [action:roles]\ndriver = k2hr3\napi_url = {}\ntimeout = 2s\nretry_interval = 1s\n",
            home.path().display(),
            vhost.url(),
            sink.url("/v1/role"),
        );
        fs::write(home.path().join("a.conf"), text).unwrap();
        let publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
        Self { home, vhost, sink, publisher, published: 0, running: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn start_under(&mut self, before: &[&str], environment: &[(&str, PathBuf)]) {
        use std::os::unix::process::CommandExt as _;
        let words = before.iter().copied().chain([env!("CARGO_BIN_EXE_osnl"), "run", "-c", "a.conf"]);
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.envs(environment.iter().map(|(name, value)| (name, value))).process_group(0);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let guard = Guard::over(&[child.id()], None);
        self.running = Some((child, guard));
    }

    pub(crate) fn start(&mut self) {
        let environment = [
            ("LD_PRELOAD", preload().to_owned()),
            ("OSNL_TEST_FAULT", self.path("fault")),
            ("OSNL_TEST_CLOCK", self.path("clock")),
        ];
        self.start_under(&[], &environment);
    }

    pub(crate) fn consuming(&self) {
        let consumed = || self.vhost.list_queues().iter().any(|queue| queue.consumers == 1);
        wait_until(SOON, "the queue is consumed", consumed);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().0.id()
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        let (child, _) = self.running.as_mut()?;
        child.try_wait().unwrap().and_then(|status| status.code())
    }

    pub(crate) fn kill(&mut self) {
        let Some((mut child, _guard)) = self.running.take() else { return };
        let script = ["-c", "kill -s KILL -- \"-$1\"", "sh", &child.id().to_string()];
        assert!(Command::new("sh").args(script).status().unwrap().success());
        child.wait().unwrap();
    }

    pub(crate) fn publish(&mut self, count: usize, keys: usize) {
        let notices: Vec<Notice> = (self.published..self.published + count)
            .map(|n| Notice {
                exchange: "neutron".to_owned(),
                payload: {
                    let mut payload = port_deleted(n % keys);
                    payload["port"]["fixed_ips"][0]["ip_address"] = address(n).into();
                    payload
                },
                ..Notice::default()
            })
            .collect();
        self.published += count;
        self.publisher.notify_all(&notices);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(SOON, &format!("the log to say {text:?}"), || self.log().contains(text));
    }

    pub(crate) fn effects(&self) -> BTreeSet<usize> {
        let targets: String = self.sink.requests().into_iter().map(|request| request.target + "\n").collect();
        let asked = |n: &usize| targets.contains(&address(*n));
        (0..self.published).filter(asked).collect()
    }

    #[track_caller]
    pub(crate) fn all_done(&self) {
        let all = || self.effects().len() == self.published;
        wait_until(SOON, "all effects", all);
        wait_until(SOON, "an empty queue", || self.vhost.queue_depth(QUEUE) == Some((0, 0)));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the address in an event's body and its request. None is the prefix of another.
pub(crate) fn address(n: usize) -> String {
    format!("10.1.{}.{}", 100 + n / 100, 100 + n % 100)
}

pub(crate) fn resource(n: usize, keys: usize) -> String {
    instance(n % keys)
}

pub(crate) fn preload() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = crate::private_folder().unwrap();
        let path = folder.path().join("preload.so");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&path).arg(SOURCE).arg("-ldl");
        let built =
            cc.status().unwrap_or_else(|error| panic!("cannot run cc, which SQLite is built with: {error}"));
        assert!(built.success(), "the library for the tests cannot be built");
        (folder, path)
    });
    path
}
