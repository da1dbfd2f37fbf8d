//! A RabbitMQ node that one test owns, so that the test may kill and restart it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::node::{BrokerNode, PLAIN_ADDRESSES, TRANSIENT_QUEUES};
use super::vhost::Vhost;
use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(90);
/// Attempts with new ports, because another process may take a port before the node does.
const TRIES: usize = 4;

#[derive(Debug)]
pub struct Broker {
    pub(super) node: Arc<BrokerNode>,
    // Fields drop in this order: processes end before their folder is removed.
    processes: Mutex<Option<Processes>>,
    folder: TempDir,
}

/// Fields drop in this order: the guard is called off last.
#[derive(Debug)]
struct Processes {
    server: ChildGroup,
    _epmd: ChildGroup,
    _guard: Guard,
}

impl Broker {
    /// Starts a node that accepts queues that are neither durable nor exclusive, and plain addresses of AMQP 1.0, both of
    /// which RabbitMQ 4.3 refuses by default.
    #[must_use]
    pub fn start() -> Self {
        Self::start_prepared(|node| node.permit_deprecated(None))
    }

    /// Starts a node that refuses transient queues: neither durable nor exclusive. RabbitMQ 3.10 cannot refuse such queues.
    /// RabbitMQ 4.0 does not start again with this setting and a durable queue, because 4.0 counts durable queues as transient.
    #[must_use]
    pub fn start_refusing_transient_queues() -> Self {
        Self::start_prepared(|node| node.permit_deprecated(Some(TRANSIENT_QUEUES)))
    }

    /// Starts a node that refuses plain addresses of AMQP 1.0. RabbitMQ 3.10 cannot refuse such addresses.
    #[must_use]
    pub fn start_refusing_plain_addresses() -> Self {
        Self::start_prepared(|node| node.permit_deprecated(Some(PLAIN_ADDRESSES)))
    }

    #[must_use]
    pub fn start_with_management(port: u16) -> Self {
        Self::start_prepared(|node| {
            node.permit_deprecated(None);
            // The API knows of a queue what its statistics have said, by default each five seconds.
            let settings = format!(
                "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\ncollect_statistics_interval = 1000\n"
            );
            let mut file = File::options().append(true).open(node.folder.join("rabbitmq.conf")).unwrap();
            file.write_all(settings.as_bytes()).unwrap();
            std::fs::write(node.folder.join("plugins"), "[rabbitmq_management].\n").unwrap();
        })
    }

    fn start_prepared(prepare: impl Fn(&BrokerNode)) -> Self {
        let mut failures = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new().prefix("osnl-broker-").tempdir().unwrap();
            let node = Arc::new(BrokerNode::create(folder.path()));
            prepare(&node);
            match launch(&node) {
                Ok(processes) => return Self { node, processes: Mutex::new(Some(processes)), folder },
                Err(failure) => failures.push_str(&failure),
            }
        }
        panic!("the test broker does not start:\n{failures}");
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/", self.node.amqp)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.amqp
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn root(&self) -> Vhost {
        Vhost::root(&self.node)
    }

    #[must_use]
    pub fn vhost(&self, name: &str) -> Vhost {
        Vhost::create(&self.node, name, None)
    }

    #[track_caller]
    pub fn ctl(&self, args: &[&str]) -> String {
        self.node.ctl(args)
    }

    /// Changes a setting (an Erlang term) for future channels and queues until a restart of the node.
    pub fn set(&self, setting: &str, value: &str) {
        self.node.eval(&format!("application:set_env(rabbit, {setting}, {value}), <<>>")).unwrap();
    }

    /// Sets the high watermark, a fraction of the machine's memory; a small one raises the memory alarm, which blocks
    /// publishers. A node starts with 0.4.
    pub fn set_memory_watermark(&self, fraction: f64) {
        self.node
            .eval(&format!("vm_memory_monitor:set_vm_memory_high_watermark({fraction:.9}), <<>>"))
            .unwrap();
    }

    #[must_use]
    pub fn has_alarm(&self) -> bool {
        self.node.ask("length(rabbit_alarm:get_alarms())") != 0
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.processes.lock().unwrap().as_mut().is_some_and(|processes| processes.server.is_running())
    }

    pub fn kill9(&self) {
        self.processes.lock().unwrap().take();
    }

    pub fn shutdown(&self) {
        let Some(mut processes) = self.processes.lock().unwrap().take() else { return };
        processes.server.signal("TERM");
        let stopped = reached(STOP, &mut || !processes.server.is_running());
        assert!(stopped, "the test broker does not stop: {}", log_of(&self.node));
    }

    /// Stops RabbitMQ within the running node: the port closes, the Erlang machine stays.
    pub fn stop_app(&self) {
        self.node.eval_in_running("rabbit:stop(), <<>>").unwrap();
    }

    pub fn start_again(&self) {
        if self.is_running() {
            self.node.eval_in_running("rabbit:start(), <<>>").unwrap();
            return;
        }
        let mut slot = self.processes.lock().unwrap();
        slot.take();
        match launch(&self.node) {
            Ok(processes) => *slot = Some(processes),
            Err(failure) => panic!("the test broker does not start again:\n{failure}"),
        }
    }
}

fn launch(node: &Arc<BrokerNode>) -> Result<Processes, String> {
    let mut epmd = launch_epmd(node)?;
    let server = spawn_server(node);
    let guard = Guard::over(&[server.id(), epmd.id()], Some(&node.folder));
    let server = await_server(node, server)?;
    if !epmd.is_running() {
        return Err(format!("epmd has ended\n{}", log_of(node)));
    }
    Ok(Processes { server, _epmd: epmd, _guard: guard })
}

pub(super) fn launch_epmd(node: &BrokerNode) -> Result<ChildGroup, String> {
    let mut epmd = node.program("epmd");
    epmd.args(["-port", &node.epmd.to_string(), "-address", "127.0.0.1"]);
    let mut epmd = ChildGroup::spawn(epmd.stdin(Stdio::null()).stdout(output(node)).stderr(output(node)));
    // Without an epmd a node starts its own, which would outlive the node.
    let listening = reached(START, &mut || !epmd.is_running() || connects(node.epmd));
    if !listening || !epmd.is_running() {
        return Err(format!("epmd does not run on port {}\n{}", node.epmd, log_of(node)));
    }
    Ok(epmd)
}

pub(super) fn spawn_server(node: &BrokerNode) -> ChildGroup {
    let mut server = node.script("rabbitmq-server");
    ChildGroup::spawn(server.stdin(Stdio::null()).stdout(output(node)).stderr(output(node)))
}

pub(super) fn await_server(node: &BrokerNode, mut server: ChildGroup) -> Result<ChildGroup, String> {
    let started = Instant::now();
    let ready = reached(START, &mut || !server.is_running() || speaks_amqp(node.amqp));
    if ready && server.is_running() && node.eval("rabbit:await_startup(), <<>>").is_ok() {
        return Ok(server);
    }
    Err(format!("no AMQP on port {} after {:?}\n{}", node.amqp, started.elapsed(), log_of(node)))
}

fn output(node: &BrokerNode) -> File {
    File::options().create(true).append(true).open(node.folder.join("output")).unwrap()
}

fn connects(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn speaks_amqp(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut first = [0_u8; 1];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut first).is_ok()
        && first == [1]
}

pub(super) fn log_of(node: &BrokerNode) -> String {
    let mut text = std::fs::read_to_string(node.folder.join("output")).unwrap_or_default();
    let log = node.folder.join("log").join(format!("{}.log", node.name));
    text.push_str(&std::fs::read_to_string(log).unwrap_or_default());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
