use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use osnl_testkit::{Broker, RealCloud, RestartableProgram, Sink, Vhost};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Stand {
    pub(crate) cloud: RealCloud,
    pub(crate) vhost: Vhost,
}

pub(crate) fn stand() -> MutexGuard<'static, Stand> {
    static STAND: OnceLock<Mutex<Stand>> = OnceLock::new();
    let make = || {
        let vhost = Broker::shared().vhost("cloud");
        let cloud = RealCloud::start(&["keystone", "neutron", "ironic", "conductor"], &vhost.url());
        Mutex::new(Stand { cloud, vhost })
    };
    let mut stand = STAND.get_or_init(make).lock().unwrap_or_else(PoisonError::into_inner);
    stand.cloud.restore();
    stand
}

impl Stand {
    pub(crate) fn create(&mut self, kind: &str, body: Value) -> Value {
        let made = self.cloud.call("neutron", "POST", &format!("/v2.0/{kind}s"), json!({ kind: body }), 201);
        made[kind].clone()
    }

    pub(crate) fn update(&mut self, kind: &str, id: &Value, body: Value) {
        let path = format!("/v2.0/{kind}s/{}", text(id));
        self.cloud.call("neutron", "PUT", &path, json!({ kind: body }), 200);
    }

    pub(crate) fn delete(&mut self, kind: &str, id: &Value) {
        self.cloud.call("neutron", "DELETE", &format!("/v2.0/{kind}s/{}", text(id)), Value::Null, 204);
    }

    pub(crate) fn network(&mut self, name: &str, cidr: &str, is_external: bool) -> (Value, Value) {
        let network = self.create("network", json!({"name": name, "router:external": is_external}));
        let subnet = json!({"network_id": network["id"], "cidr": cidr, "ip_version": 4});
        let subnet = self.create("subnet", subnet);
        (network["id"].clone(), subnet["id"].clone())
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) struct Osnl {
    home: TempDir,
    running: Option<RestartableProgram>,
}

impl Osnl {
    pub(crate) fn new(stand: &Stand, pool: &str, rest: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let conf = format!(
            "[DEFAULT]\nstate_dir = {}/state\n[journal]\nallow_volatile = yes\n\
             [listener:l]\ntransport_url = {}\nexchange = neutron\npool = {pool}\n{rest}",
            home.path().display(),
            stand.vhost.url()
        );
        fs::write(home.path().join("osnl.conf"), conf).unwrap();
        Self { home, running: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(mut self) -> Self {
        let program = RestartableProgram::start(self.command(&["run", "-c", "osnl.conf"]));
        program.wait_for("listening at", 1, SOON);
        self.running = Some(program);
        self
    }

    pub(crate) fn start(&self, args: &[&str]) -> RestartableProgram {
        RestartableProgram::start(self.command(args))
    }

    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.running.as_ref().unwrap().wait_for(text, 1, SOON);
    }

    pub(crate) fn log(&self) -> String {
        self.running.as_ref().unwrap().output()
    }
}

pub(crate) fn bodies(sink: &Sink) -> Vec<Value> {
    sink.requests().iter().map(|made| serde_json::from_slice(&made.body).unwrap_or_default()).collect()
}
