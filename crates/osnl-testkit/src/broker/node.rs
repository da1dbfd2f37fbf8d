//! Questions to a node use `erl_call` of Erlang and take 2 to 10 ms, where each call of rabbitmqctl boots an
//! Erlang machine.
//!
//! With [`BROKER_ROOT_VARIABLE`] the programs are those of another root directory, which sees the node's
//! folder at the same path.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::wait::reached;
use crate::{BROKER_ROOT_VARIABLE, SCRIPTS, hex, ports};

/// The default until RabbitMQ 3.13; since 4.0 the default is 16 MiB.
const LARGEST_MESSAGE: u32 = 128 * 1024 * 1024;
const ADVANCED: &str = "advanced.config";
/// RabbitMQ 4.3 denies these two deprecated features by default, and older versions permit both.
pub(super) const TRANSIENT_QUEUES: &str = "transient_nonexcl_queues";
pub(super) const PLAIN_ADDRESSES: &str = "amqp_address_v1";
/// The longest time in which a running node refuses connections.
const BUSY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct BrokerNode {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) cookie: String,
    pub(super) amqp: u16,
    pub(super) dist: u16,
    pub(super) epmd: u16,
}

impl BrokerNode {
    pub(super) fn create(folder: &Path) -> Self {
        let [amqp, dist, epmd] = ports::three();
        let cookie = format!("OSNL{:016X}{:016X}", ports::random(), ports::random());
        Self::with(folder, cookie, [amqp, dist, epmd])
    }

    pub(super) fn sibling(&self, folder: &Path) -> Self {
        let [amqp, dist, _] = ports::three();
        Self::with(folder, self.cookie.clone(), [amqp, dist, self.epmd])
    }

    fn with(folder: &Path, cookie: String, [amqp, dist, epmd]: [u16; 3]) -> Self {
        let node = Self {
            folder: folder.to_owned(),
            name: format!("osnl-{:016x}@localhost", ports::random()),
            cookie,
            amqp,
            dist,
            epmd,
        };
        for name in ["home", "data", "log"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        node.write_cookie();
        // The environment could set the ports too, but every version reads a file alike.
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\nnum_acceptors.tcp = 2\n\
             disk_free_limit.absolute = 50MB\nlog.console = false\n\
             max_message_size = {LARGEST_MESSAGE}\n"
        );
        std::fs::write(folder.join("rabbitmq.conf"), settings).unwrap();
        std::fs::write(folder.join("plugins"), "[].\n").unwrap();
        let identity = json!({
            "name": node.name, "cookie": node.cookie, "amqp": amqp, "dist": dist, "epmd": epmd,
        });
        std::fs::write(folder.join("node.json"), identity.to_string()).unwrap();
        node
    }

    /// Permits queues that are neither durable nor exclusive, and plain addresses of AMQP 1.0, except for the feature that
    /// is `denied`, because the defaults differ between versions. RabbitMQ before 3.13 does not know the setting, and accepts both.
    pub(super) fn permit_deprecated(&self, denied: Option<&str>) {
        let features = [TRANSIENT_QUEUES, PLAIN_ADDRESSES];
        let features = features.map(|feature| format!("{feature} => {}", denied != Some(feature))).join(", ");
        let terms = format!("[{{rabbit, [{{permit_deprecated_features, #{{{features}}}}}]}}].\n");
        std::fs::write(self.folder.join(ADVANCED), terms).unwrap();
    }

    pub(super) fn load(folder: &Path) -> Self {
        let path = folder.join("node.json");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("no test broker in {}: {error}", path.display()));
        let identity: Value = serde_json::from_str(&text).unwrap();
        let text =
            |key: &str| identity[key].as_str().unwrap_or_else(|| panic!("no {key} in node.json")).to_owned();
        let port = |key: &str| u16::try_from(identity[key].as_u64().unwrap_or_default()).unwrap();
        Self {
            folder: folder.to_owned(),
            name: text("name"),
            cookie: text("cookie"),
            amqp: port("amqp"),
            dist: port("dist"),
            epmd: port("epmd"),
        }
    }

    /// Writes a private file, because Erlang refuses a cookie that other users can read.
    fn write_cookie(&self) {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.folder.join("home").join(".erlang.cookie");
        if !path.exists() {
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(path).unwrap();
            file.write_all(self.cookie.as_bytes()).unwrap();
        }
    }

    pub(super) fn script(&self, name: &str) -> Command {
        let path = Path::new(SCRIPTS).join(name);
        let on_disk = match other_root() {
            Some(root) => root.join(SCRIPTS.trim_start_matches('/')).join(name),
            None => path.clone(),
        };
        assert!(on_disk.exists(), "no {}: run \"cargo xtask setup\"", on_disk.display());
        self.program(&path)
    }

    pub(super) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match other_root() {
            // `chroot` replaces itself by the program, so that our child is still the node.
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(program);
                command
            }
            None => Command::new(program),
        };
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy().into_owned();
            if key.starts_with("RABBITMQ_") || key.starts_with("ERL_") || key == "NOTIFY_SOCKET" {
                command.env_remove(key);
            }
        }
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        command
            .current_dir(&self.folder)
            .env("HOME", self.folder.join("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_CRASH_DUMP_BYTES", "0")
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.dist.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.folder.join("data"))
            .env("RABBITMQ_LOG_BASE", self.folder.join("log"))
            .env("RABBITMQ_PID_FILE", self.folder.join("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", self.folder.join("no-such-file"))
            .env("RABBITMQ_CONFIG_FILE", self.folder.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.folder.join(ADVANCED))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.folder.join("plugins"))
            .env("RABBITMQ_CTL_ERL_ARGS", format!("{loopback} +S 1:1"))
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "10240")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "11999");
        // The test node has one scheduler that does not spin, and small tables. With ALLOW_INPUT the node replaces
        // the shell, so that our child is the node itself.
        command
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            .env("RABBITMQ_SERVER_ERL_ARGS", "+P 65536 +t 1048576 +stbt u +zdbbl 32000")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                format!("{loopback} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"),
            );
    }

    #[track_caller]
    pub(super) fn ctl(&self, args: &[&str]) -> String {
        let output = self.script("rabbitmqctl").arg("-q").args(args).stdin(Stdio::null()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {} failed: {stdout}{stderr}", args.join(" "));
        stdout
    }

    /// Evaluates an Erlang expression whose value is iodata in the node, and returns the bytes as text.
    pub(super) fn eval(&self, expression: &str) -> Result<String, String> {
        // The reply is in hex, because printed strings and binaries differ between versions.
        let program = format!(
            "Reply = try iolist_to_binary([$o, begin {expression} end]) \
             catch Class:Reason -> iolist_to_binary([$e, io_lib:format(\"~p: ~p\", [Class, Reason])]) end, \
             lists:flatten([io_lib:format(\"~2.16.0b\", [Byte]) || <<Byte>> <= Reply]).\n"
        );
        let mut command = self.program("erl_call");
        let address = format!("127.0.0.1:{}", self.dist);
        // Each question has its own name. The name that `-r` makes up is the clock's second, and the node rejects the
        // second of two simultaneous questions with the same name.
        static ASKED: AtomicU64 = AtomicU64::new(0);
        let asker = format!("osnl{}x{}", std::process::id(), ASKED.fetch_add(1, Ordering::Relaxed));
        command.args(["-address", &address, "-c", &self.cookie, "-timeout", "60", "-h", &asker, "-e"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run erl_call, which comes with Erlang: {error}"))?;
        let sent = child.stdin.take().unwrap().write_all(program.as_bytes());
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let digits = printed.strip_prefix("{ok, \"").and_then(|rest| rest.split('"').next());
        let Some(digits) = digits.filter(|_| sent.is_ok()) else {
            return Err(format!("erl_call: {printed}{}", String::from_utf8_lossy(&output.stderr)));
        };
        let reply = String::from_utf8_lossy(&hex::decode(digits)).into_owned();
        match reply.split_at_checked(1) {
            Some(("o", value)) => Ok(value.to_owned()),
            Some((_, raised)) => Err(raised.to_owned()),
            None => Err("an empty reply".to_owned()),
        }
    }

    #[track_caller]
    /// Evaluates an expression in a node that runs: a busy one may refuse a connection.
    pub(super) fn eval_in_running(&self, expression: &str) -> Result<String, String> {
        let mut answer = Err(String::new());
        reached(BUSY, &mut || {
            answer = self.eval(expression);
            !answer.as_ref().is_err_and(|error| error.contains("failed to connect"))
        });
        answer
    }

    pub(super) fn ask(&self, expression: &str) -> Value {
        let reply = self.eval_in_running(&format!("rabbit_json:encode({expression})"));
        let text = reply.unwrap_or_else(|error| panic!("the test broker refuses {expression}: {error}"));
        serde_json::from_str(&text).unwrap()
    }
}

fn other_root() -> Option<PathBuf> {
    std::env::var_os(BROKER_ROOT_VARIABLE).map(PathBuf::from)
}

/// Returns text as an Erlang binary, byte by byte, so that no character can end the expression.
pub(super) fn binary(text: &str) -> String {
    let mut out = String::from("<<");
    for (at, byte) in text.bytes().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{byte}").unwrap();
    }
    out.push_str(">>");
    out
}
