//! tansu, a broker that speaks Kafka's protocol and has no code of Apache Kafka or librdkafka.
//!
//! Tests use two of its storage engines, because neither has everything:
//!
//! | | memory | SQLite |
//! | --- | --- | --- |
//! | several messages in one batch | only the first can be fetched by its offset | yes |
//! | groups are listed with their members | yes | no: tansu ends the connection, and so osnl's subscription |
//! | messages and offsets outlive the broker | no | yes |
//! | users for SCRAM | no | yes |
//!
//! Neither keeps the metadata of a commit, has TLS, or makes topics by itself. A [`FaultyProxy`] before the broker
//! cuts connections while the broker runs.

use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use tempfile::TempDir;

use super::{KafkaClient, KafkaCluster, KafkaLogin};
use crate::process::{ChildGroup, Guard};
use crate::wait::reached;
use crate::{FaultyProxy, NetworkFault, TANSU_VARIABLE, ports};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TansuStorage {
    Memory,
    Sqlite,
}

pub struct Tansu {
    client: KafkaClient,
    proxy: FaultyProxy,
    port: u16,
    storage: TansuStorage,
    asks_for_logins: bool,
    running: Option<RunningTansu>,
    folder: TempDir,
}

/// Fields drop in this order: the guard is called off last.
struct RunningTansu {
    _group: ChildGroup,
    _guard: Guard,
}

impl Deref for Tansu {
    type Target = KafkaClient;

    fn deref(&self) -> &KafkaClient {
        &self.client
    }
}

impl KafkaCluster for Tansu {
    fn create_topic(&self, topic: &str, partitions: i32) {
        self.tool(&["topic", "create", topic, "--partitions", &partitions.to_string()]);
    }

    fn stop(&self) {
        self.proxy.set(NetworkFault::Refuse);
        self.proxy.cut();
    }

    fn start_again(&self) {
        self.proxy.set(NetworkFault::None);
    }
}

impl Tansu {
    #[must_use]
    pub fn start(storage: TansuStorage) -> Self {
        let port = ports::free_port();
        let proxy = FaultyProxy::before(port);
        let folder = tempfile::Builder::new().prefix("osnl-tansu-").tempdir().unwrap();
        let client = KafkaClient::new(format!("127.0.0.1:{}", proxy.port()), storage == TansuStorage::Memory);
        let mut tansu = Self { client, proxy, port, storage, asks_for_logins: false, running: None, folder };
        tansu.revive();
        tansu
    }

    /// Starts a broker that demands a login. tansu's own client has none, so that the topic is made before.
    #[must_use]
    pub fn with_logins(logins: &[KafkaLogin], topic: &str) -> Self {
        let mut tansu = Self::start(TansuStorage::Sqlite);
        tansu.create_topic(topic, 1);
        for KafkaLogin { mechanism, user, password } in logins {
            let mechanism = mechanism.replace("SCRAM-SHA-", "scram");
            tansu.tool(&["user", "create", user, password, "--mechanism", &mechanism]);
        }
        tansu.kill();
        tansu.asks_for_logins = true;
        tansu.revive();
        tansu
    }

    pub fn without_logins(&mut self) {
        self.kill();
        self.asks_for_logins = false;
        self.revive();
    }

    pub fn delete_topic(&self, topic: &str) {
        self.tool(&["topic", "delete", topic]);
    }

    pub fn kill(&mut self) {
        self.running = None;
    }

    pub(crate) fn revive(&mut self) {
        let log = self.folder.path().join("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let (listener, advertised) =
            (format!("tcp://127.0.0.1:{}", self.port), format!("tcp://127.0.0.1:{}", self.proxy.port()));
        let storage = match self.storage {
            TansuStorage::Memory => "memory://tansu/",
            TansuStorage::Sqlite => "sqlite://tansu.db",
        };
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).env("RUST_LOG", "warn").stdin(Stdio::null());
        command.args(["--listener-url", &listener, "--advertised-listener-url", &advertised]);
        command.args(["--storage-engine", storage, "--silent"]);
        if self.asks_for_logins {
            command.arg("--authentication");
        }
        let group = ChildGroup::spawn(command.stdout(file.try_clone().unwrap()).stderr(file));
        let guard = Guard::over(&[group.id()], None);
        self.running = Some(RunningTansu { _group: group, _guard: guard });
        let port = self.port;
        let is_ready = reached(PATIENCE, &mut || match self.asks_for_logins {
            true => std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
            false => self.client("ready").fetch_metadata(None, Duration::from_secs(2)).is_ok(),
        });
        assert!(is_ready, "tansu does not answer: {}", self.log());
    }

    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn tool(&self, args: &[&str]) {
        let broker = format!("tcp://127.0.0.1:{}", self.port);
        let mut command = Command::new(program());
        let output = command.args(args).args(["--broker", &broker]).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "tansu {args:?}: {}", String::from_utf8_lossy(&said));
    }
}

fn program() -> PathBuf {
    let program = std::env::var_os(TANSU_VARIABLE).unwrap_or_else(|| {
        panic!("{TANSU_VARIABLE} is not set: this test needs tansu; run it with `cargo xtask test --kafka`")
    });
    program.into()
}
