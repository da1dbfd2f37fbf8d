//! A node that belongs to its owner: started, killed, started again.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::node::BrokerNode;
use super::vhost::Vhost;
use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);
/// New ports are chosen this often, should another process take one before the node does.
const TRIES: usize = 4;

/// A private RabbitMQ node on 127.0.0.1, user `guest` with password `guest`. Ends when dropped, and also when
/// the process that owns it is killed.
#[derive(Debug)]
pub struct Broker {
    pub(super) node: Arc<BrokerNode>,
    // The order matters: processes end before their folder goes.
    processes: Mutex<Option<Processes>>,
    folder: TempDir,
}

/// The order matters here too: the guard is called off last.
#[derive(Debug)]
struct Processes {
    server: ChildGroup,
    _epmd: ChildGroup,
    _guard: Guard,
}

impl Broker {
    /// Starts a node and waits until it accepts AMQP connections. It makes queues that are neither durable nor exclusive
    /// also where its version refuses them by default, as RabbitMQ 4.3 does.
    ///
    /// # Panics
    /// When RabbitMQ is not installed, or the node does not come up; the message has the end of its log.
    #[must_use]
    pub fn start() -> Self {
        Self::start_prepared(|node| node.permit_transient_queues(true))
    }

    /// As [`Broker::start`], but such queues are refused. RabbitMQ 3.10 cannot refuse them.
    ///
    /// # Panics
    /// As [`Broker::start`].
    #[must_use]
    pub fn start_refusing_transient_queues() -> Self {
        Self::start_prepared(|node| node.permit_transient_queues(false))
    }

    /// Starts a node whose management API listens on this port of 127.0.0.1.
    ///
    /// # Panics
    /// As [`Broker::start`].
    #[must_use]
    pub fn start_with_management(port: u16) -> Self {
        Self::start_prepared(|node| {
            node.permit_transient_queues(true);
            let settings = format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n");
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

    /// `rabbit://guest:guest@127.0.0.1:PORT/`
    #[must_use]
    pub fn url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/", self.node.amqp)
    }

    /// The AMQP port on 127.0.0.1; the same after [`Broker::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.amqp
    }

    /// The folder that holds the node's data, logs and identity.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The default virtual host, `/`.
    #[must_use]
    pub fn root(&self) -> Vhost {
        Vhost::root(&self.node)
    }

    /// A new, empty virtual host whose name begins with `name`; it is deleted when dropped.
    #[must_use]
    pub fn vhost(&self, name: &str) -> Vhost {
        Vhost::create(&self.node, name, None)
    }

    /// Runs rabbitmqctl against this node and gives its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ctl(&self, args: &[&str]) -> String {
        self.node.ctl(args)
    }

    /// Changes a setting of the running node (an Erlang term, such as `1000`) for channels and queues to come; as the
    /// line in its configuration file, but without a restart, and forgotten by one.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn set(&self, setting: &str, value: &str) {
        self.node.eval(&format!("application:set_env(rabbit, {setting}, {value}), <<>>")).unwrap();
    }

    /// Raises or ends the memory alarm by the high watermark, as a fraction of the machine's memory. While it lasts
    /// publishers are blocked; a node starts with 0.4.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn set_memory_watermark(&self, fraction: f64) {
        self.node
            .eval(&format!("vm_memory_monitor:set_vm_memory_high_watermark({fraction:.9}), <<>>"))
            .unwrap();
    }

    /// Whether the node says that an alarm is on.
    ///
    /// # Panics
    /// When the node does not answer.
    #[must_use]
    pub fn has_alarm(&self) -> bool {
        self.node.ask("length(rabbit_alarm:get_alarms())") != 0
    }

    /// Whether the node's process runs; its RabbitMQ application may be stopped all the same.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.processes.lock().unwrap().as_mut().is_some_and(|processes| processes.server.is_running())
    }

    /// Kills the node with SIGKILL, as a power cut would. Nothing is flushed, connections are reset.
    pub fn kill9(&self) {
        self.processes.lock().unwrap().take();
    }

    /// Stops the node in good order; its data stays for [`Broker::start_again`].
    ///
    /// # Panics
    /// When it does not end within half a minute.
    pub fn shutdown(&self) {
        let Some(mut processes) = self.processes.lock().unwrap().take() else { return };
        processes.server.signal("TERM");
        let stopped = reached(STOP, &mut || !processes.server.is_running());
        assert!(stopped, "the test broker does not stop: {}", log_of(&self.node));
    }

    /// Stops RabbitMQ within the running node: the port closes, the Erlang machine stays.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn stop_app(&self) {
        self.node.eval("rabbit:stop(), <<>>").unwrap();
    }

    /// Brings the node back after [`Broker::kill9`], [`Broker::shutdown`] or [`Broker::stop_app`], with the same
    /// data and ports, and waits until it accepts AMQP connections.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&self) {
        if self.is_running() {
            self.node.eval("rabbit:start(), <<>>").unwrap();
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

/// Starts epmd and the node and waits for AMQP.
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

/// Starts the epmd that this node wants, and waits for its port.
pub(super) fn launch_epmd(node: &BrokerNode) -> Result<ChildGroup, String> {
    let mut epmd = node.program("epmd");
    epmd.args(["-port", &node.epmd.to_string(), "-address", "127.0.0.1"]);
    let mut epmd = ChildGroup::spawn(epmd.stdin(Stdio::null()).stdout(output(node)).stderr(output(node)));
    // A node that finds no epmd starts one by itself, which nobody would end.
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

/// Waits for AMQP.
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

/// Whether the port answers the AMQP 0-9-1 header with a method frame (Connection.Start).
fn speaks_amqp(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut first = [0_u8; 1];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut first).is_ok()
        && first == [1]
}

/// The end of everything the node wrote.
fn log_of(node: &BrokerNode) -> String {
    let mut text = std::fs::read_to_string(node.folder.join("output")).unwrap_or_default();
    let log = node.folder.join("log").join(format!("{}.log", node.name));
    text.push_str(&std::fs::read_to_string(log).unwrap_or_default());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
