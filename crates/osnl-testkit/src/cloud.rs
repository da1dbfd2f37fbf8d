//! Keystone, Neutron and Ironic from PyPI, with real databases, tokens, and notifications.
//!
//! `cargo xtask test --cloud` makes the Python environment and passes its path in [`CLOUD_VARIABLE`]. Each service is
//! a process of its own (`python/cloud.py`).

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::RestartableProgram;
use crate::ports;

pub const CLOUD_VARIABLE: &str = "OSNL_TEST_CLOUD";
pub const CLOUD_REQUIREMENTS: &str = include_str!("../python/cloud-requirements.txt");

const SCRIPT: &str = include_str!("../python/cloud.py");
const START: Duration = Duration::from_secs(180);
const PASSWORD: &str = "cloud-admin-password";

#[derive(Debug)]
pub struct RealCloud {
    folder: TempDir,
    ports: BTreeMap<String, u16>,
    running: BTreeMap<String, RestartableProgram>,
    broker: String,
    token: String,
    token_seconds: u64,
}

const TOKEN_SECONDS: u64 = 3600;

impl RealCloud {
    #[must_use]
    pub fn start(services: &[&str], url: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("osnl-cloud-").tempdir().unwrap();
        std::fs::write(folder.path().join("cloud.py"), SCRIPT).unwrap();
        let listening: Vec<_> = services.iter().map(|_| ports::listen()).collect();
        let ports = services
            .iter()
            .zip(&listening)
            .map(|(service, listener)| ((*service).to_owned(), listener.local_addr().unwrap().port()))
            .collect();
        drop(listening);
        let mut cloud = Self {
            folder,
            ports,
            running: BTreeMap::new(),
            broker: url.to_owned(),
            token: String::new(),
            token_seconds: TOKEN_SECONDS,
        };
        cloud.describe(TOKEN_SECONDS);
        let done = cloud.script(&["prepare"]).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for service in services {
            cloud.start_service(service);
        }
        cloud.login();
        let (network, baremetal) = (cloud.url("neutron"), cloud.url("ironic"));
        for (kind, url) in [("network", network), ("baremetal", baremetal)] {
            if let Some(url) = url {
                cloud.register(kind, &url);
            }
        }
        cloud
    }

    pub fn start_service(&mut self, service: &str) {
        let script = self.script(&["serve", service]);
        let program = RestartableProgram::start(script);
        program.wait_for("serving", 1, START);
        self.running.insert(service.to_owned(), program);
    }

    pub fn stop_service(&mut self, service: &str) {
        self.running.remove(service);
    }

    pub fn restore(&mut self) {
        if self.token_seconds != TOKEN_SECONDS {
            self.set_token_seconds(TOKEN_SECONDS);
        }
        let stopped: Vec<String> =
            self.ports.keys().filter(|service| !self.running.contains_key(*service)).cloned().collect();
        stopped.iter().for_each(|service| self.start_service(service));
    }

    /// Sets the lifetime of new tokens, and restarts Keystone for that. The administrator's own token keeps its
    /// lifetime.
    pub fn set_token_seconds(&mut self, seconds: u64) {
        self.token_seconds = seconds;
        self.stop_service("keystone");
        let path = self.folder.path().join("keystone.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        let line = |line: &str| match line.starts_with("expiration = ") {
            true => format!("expiration = {seconds}\n"),
            false => format!("{line}\n"),
        };
        std::fs::write(&path, text.lines().map(line).collect::<String>()).unwrap();
        self.start_service("keystone");
    }

    #[must_use]
    pub fn url(&self, service: &str) -> Option<String> {
        self.ports.get(service).map(|port| format!("http://127.0.0.1:{port}"))
    }

    #[must_use]
    pub fn auth_url(&self) -> String {
        format!("{}/v3", self.url("keystone").unwrap())
    }

    #[must_use]
    pub fn login_options(&self) -> String {
        format!(
            "auth_url = {}\nusername = admin\npassword = {PASSWORD}\nproject_name = admin\n",
            self.auth_url()
        )
    }

    #[track_caller]
    pub fn call(&mut self, service: &str, method: &str, path: &str, body: Value, expected: u16) -> Value {
        let mut answer = self.request(service, method, path, &body);
        if answer.0 == 401 {
            self.login();
            answer = self.request(service, method, path, &body);
        }
        assert_eq!(answer.0, expected, "{method} {service} {path}: {}", answer.2);
        answer.2
    }

    /// Attempts a login with a wrong password, because Keystone sends a notification for that.
    pub fn fail_to_log_in(&mut self) {
        let (status, _, _) = self.request("keystone", "POST", "/v3/auth/tokens", &login_body("wrong"));
        assert_eq!(status, 401);
    }

    fn login(&mut self) {
        self.token.clear();
        let (status, head, body) = self.request("keystone", "POST", "/v3/auth/tokens", &login_body(PASSWORD));
        assert_eq!(status, 201, "{body}");
        let token = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
        });
        self.token = token.unwrap();
    }

    fn register(&mut self, kind: &str, url: &str) {
        let service = json!({"service": {"type": kind, "name": kind}});
        let made = self.call("keystone", "POST", "/v3/services", service, 201);
        let endpoint = json!({"endpoint": {"service_id": made["service"]["id"], "interface": "public",
                                           "region_id": "RegionOne", "url": url}});
        self.call("keystone", "POST", "/v3/endpoints", endpoint, 201);
    }

    fn describe(&self, token_seconds: u64) {
        let about = json!({"broker": self.broker, "ports": self.ports, "password": PASSWORD,
                           "token_seconds": token_seconds});
        std::fs::write(self.folder.path().join("cloud.json"), about.to_string()).unwrap();
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let environment = std::env::var_os(CLOUD_VARIABLE)
            .unwrap_or_else(|| panic!("no cloud: run the tests with \"cargo xtask test --cloud\""));
        let mut command = crate::peer::program_in(&PathBuf::from(environment), "python");
        command.arg(self.folder.path().join("cloud.py")).arg(arguments[0]).arg(self.folder.path());
        command.args(&arguments[1..]);
        command
    }

    fn request(&self, service: &str, method: &str, path: &str, body: &Value) -> (u16, String, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[service])).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nX-Auth-Token: {}\r\n\
             X-OpenStack-Ironic-API-Version: 1.72\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            self.token,
            text.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, head.to_owned(), serde_json::from_str(body).unwrap_or_default())
    }
}

fn login_body(password: &str) -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {
            "user": {"name": "admin", "domain": {"id": "default"}, "password": password}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}
    }})
}
