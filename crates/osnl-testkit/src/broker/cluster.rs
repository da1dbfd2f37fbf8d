//! A cluster of RabbitMQ nodes on this machine, which tests kill and start again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::node::{BrokerNode, binary};
use super::running::{await_server, launch_epmd, log_of, spawn_server};
use crate::process::{ChildGroup, Guard};

/// Later, a boot that fails is not repeated.
const BOOTED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct RabbitCluster {
    // Fields drop in this order: servers before epmd, and processes before their folder.
    members: Vec<ClusterMember>,
    _epmd: ChildGroup,
    _guard: Guard,
    _folder: TempDir,
}

#[derive(Debug)]
struct ClusterMember {
    node: BrokerNode,
    running: Mutex<Option<NodeProcess>>,
}

/// Fields drop in this order: the guard is called off last.
#[derive(Debug)]
struct NodeProcess {
    server: ChildGroup,
    _guard: Guard,
}

impl ClusterMember {
    /// Starts the node, and again if its boot fails, as systemd does: of nodes of RabbitMQ 4.0 that start together after all
    /// were killed, one may fail another's.
    fn start(&self) {
        let began = Instant::now();
        loop {
            let server = spawn_server(&self.node);
            let guard = Guard::over(&[server.id()], None);
            match await_server(&self.node, server) {
                Ok(server) => {
                    *self.running.lock().unwrap() = Some(NodeProcess { server, _guard: guard });
                    return;
                }
                Err(failure) if began.elapsed() > BOOTED => panic!("{failure}"),
                Err(_) => {}
            }
        }
    }

    fn eval(&self, expression: &str) -> String {
        self.node
            .eval(expression)
            .unwrap_or_else(|error| panic!("{} refuses {expression}: {error}", self.node.name))
    }
}

impl RabbitCluster {
    /// Starts a new cluster.
    #[must_use]
    pub fn start(nodes: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("osnl-cluster-").tempdir().unwrap();
        let place = |n: usize| {
            let place = folder.path().join(format!("node-{n}"));
            std::fs::create_dir(&place).unwrap();
            place
        };
        let first = BrokerNode::create(&place(0));
        let others: Vec<BrokerNode> = (1..nodes).map(|n| first.sibling(&place(n))).collect();
        let epmd = launch_epmd(&first).unwrap_or_else(|failure| panic!("{failure}"));
        let guard = Guard::over(&[epmd.id()], Some(folder.path()));
        let members = [first].into_iter().chain(others);
        let members: Vec<ClusterMember> =
            members.map(|node| ClusterMember { node, running: Mutex::new(None) }).collect();
        let cluster = Self { members, _epmd: epmd, _guard: guard, _folder: folder };
        std::thread::scope(|scope| {
            for member in &cluster.members {
                scope.spawn(|| member.start());
            }
        });
        let first = &cluster.members[0].node.name;
        for member in &cluster.members[1..] {
            // Erlang ends a node that stops RabbitMQ before the boot, which has started it, is over.
            // As `rabbitmqctl stop_app`, `join_cluster`, `start_app`: RabbitMQ 3.10 has no `rabbit_db_cluster`.
            let join = format!(
                "begin (fun Booted() -> \
                     case init:get_status() of {{started, _}} -> ok; _ -> timer:sleep(10), Booted() end end)(), \
                 rabbit:stop(), \
                 Join = case code:which(rabbit_db_cluster) of \
                     non_existing -> fun rabbit_mnesia:join_cluster/2; _ -> fun rabbit_db_cluster:join/2 end, \
                 case Join('{first}', disc) of ok -> ok; {{ok, _}} -> ok end, \
                 rabbit:start(), rabbit:await_startup(), <<>> end"
            );
            let joined = member.node.eval(&join);
            joined.unwrap_or_else(|error| panic!("a node does not join: {error}\n{}", log_of(&member.node)));
        }
        cluster
    }

    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.node.amqp).collect()
    }

    #[must_use]
    pub fn version(&self) -> String {
        self.members[0].eval("rabbit:product_version()")
    }

    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.ports().iter().map(|port| format!("guest:guest@127.0.0.1:{port}")).collect();
        format!("rabbit://{}/", hosts.join(","))
    }

    pub fn declare(&self, exchange: &str, routing_key: &str, queue: &str) {
        let (exchange, key, queue) = (binary(exchange), binary(routing_key), binary(queue));
        self.members[0].eval(&format!(
            "begin U = <<\"osnl\">>, X = rabbit_misc:r(<<\"/\">>, exchange, {exchange}), \
             Q = rabbit_misc:r(<<\"/\">>, queue, {queue}), \
             rabbit_exchange:declare(X, topic, true, false, false, [], U), \
             {{new, _}} = rabbit_amqqueue:declare(Q, true, false, \
                 [{{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}}], none, U), \
             ok = rabbit_binding:add({{binding, X, {key}, Q, []}}, U), <<>> end"
        ));
    }

    /// Returns the process groups of the nodes that run.
    #[must_use]
    pub fn process_groups(&self) -> Vec<u32> {
        let group = |member: &ClusterMember| Some(member.running.lock().unwrap().as_ref()?.server.id());
        self.members.iter().filter_map(group).collect()
    }

    pub fn kill9(&self, node: usize) {
        self.members[node].running.lock().unwrap().take();
    }

    pub fn start_again(&self, node: usize) {
        self.members[node].start();
    }

    /// Kills all nodes with SIGKILL at once, and starts all together after a pause, because a node waits for its
    /// peers.
    pub(crate) fn kill9_all(&self, pause: Duration) {
        let each = |act: fn(&Self, usize)| {
            std::thread::scope(|scope| {
                for node in 0..self.members.len() {
                    scope.spawn(move || act(self, node));
                }
            });
        };
        each(Self::kill9);
        std::thread::park_timeout(pause);
        each(Self::start_again);
    }

    #[must_use]
    pub fn leader(&self, queue: &str) -> Option<usize> {
        let asked = Self::with_queue(
            queue,
            "{Name, _} = amqqueue:get_pid(Q), \
             case ra:members({Name, node()}, 2000) of \
                 {ok, _, {_, Leader}} -> atom_to_binary(Leader, utf8); _ -> <<>> end",
        );
        let name = self.running()?.node.eval(&asked).ok()?;
        self.members.iter().position(|member| member.node.name == name)
    }

    pub fn move_leader(&self, queue: &str, to: usize) {
        let to = &self.members[to].node.name;
        let asked =
            Self::with_queue(queue, &format!("rabbit_quorum_queue:transfer_leadership(Q, '{to}'), <<>>"));
        self.running().expect("a node that runs").eval(&asked);
    }

    #[must_use]
    pub fn messages(&self, queue: &str) -> Option<u64> {
        self.number(queue, "query_messages_total")
    }

    #[must_use]
    pub fn consumers(&self, queue: &str) -> Option<u64> {
        self.number(queue, "query_consumer_count")
    }

    /// Asks by the query's name, because RabbitMQ 4.3 accepts no function.
    fn number(&self, queue: &str, query: &str) -> Option<u64> {
        let asked = Self::with_queue(
            queue,
            &format!(
                "{{Name, _}} = amqqueue:get_pid(Q), \
                 {{ok, {{_, N}}, _}} = ra:leader_query({{Name, node()}}, {{rabbit_fifo, {query}, []}}), \
                 integer_to_binary(N)"
            ),
        );
        self.running()?.node.eval(&asked).ok()?.parse().ok()
    }

    fn running(&self) -> Option<&ClusterMember> {
        self.members.iter().find(|member| {
            member.running.lock().unwrap().as_mut().is_some_and(|running| running.server.is_running())
        })
    }

    fn with_queue(queue: &str, expression: &str) -> String {
        let queue = binary(queue);
        format!(
            "begin {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, {queue})), {expression} end"
        )
    }
}
