//! A virtual host for one test, with questions about its queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::node::{BrokerNode, binary};

/// A virtual host. [`SharedBroker::vhost`](super::SharedBroker::vhost) deletes its hosts on drop, which closes their
/// connections.
#[derive(Debug)]
pub struct Vhost {
    node: Arc<BrokerNode>,
    name: String,
    owned: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredQueue {
    pub name: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub arguments: Value,
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u64,
    pub queue_type: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    pub name: String,
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub arguments: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeclaredBinding {
    pub exchange: String,
    pub queue: String,
    pub routing_key: String,
}

impl Vhost {
    pub(super) fn root(node: &Arc<BrokerNode>) -> Self {
        Self { node: Arc::clone(node), name: "/".to_owned(), owned: false }
    }

    pub(super) fn create(node: &Arc<BrokerNode>, name: &str, default: Option<&str>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let word: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{word}-{}-{number}", std::process::id());
        let vhost = Self { node: Arc::clone(node), name, owned: true };
        let add = match default {
            None => "ok = rabbit_vhost:add(V, <<\"osnl\">>),",
            // The arguments of `rabbit_vhost:add` differ between versions, hence rabbitmqctl.
            Some(default) => {
                node.ctl(&["add_vhost", &vhost.name, "--default-queue-type", default]);
                ""
            }
        };
        vhost.ask(&format!(
            "begin {add} \
             rabbit_vhost:await_running_on_all_nodes(V, 30000), \
             All = <<\".*\">>, \
             ok = rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, V, All, All, All, <<\"osnl\">>), \
             true end"
        ));
        vhost
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/{}", self.node.amqp, self.name.trim_start_matches('/'))
    }

    #[track_caller]
    pub fn ctl(&self, args: &[&str]) -> String {
        let (command, rest) = args.split_first().unwrap_or((&"help", &[]));
        let mut line = vec![*command, "-p", &self.name];
        line.extend(rest);
        self.node.ctl(&line)
    }

    #[must_use]
    #[track_caller]
    pub fn queue_depth(&self, queue: &str) -> Option<(u64, u64)> {
        let found = self.list_queues().into_iter().find(|candidate| candidate.name == queue)?;
        Some((found.ready, found.unacked))
    }

    #[must_use]
    #[track_caller]
    pub fn list_queues(&self) -> Vec<DeclaredQueue> {
        let rows = self.ask(
            "[#{name => element(4, proplists:get_value(name, I)), \
                durable => proplists:get_value(durable, I), \
                auto_delete => proplists:get_value(auto_delete, I), \
                arguments => rabbit_misc:amqp_table(proplists:get_value(arguments, I)), \
                ready => proplists:get_value(messages_ready, I, 0), \
                unacked => proplists:get_value(messages_unacknowledged, I, 0), \
                consumers => proplists:get_value(consumers, I, 0), \
                module => proplists:get_value(type, I)} \
              || I <- rabbit_amqqueue:info_all(V, [name, durable, auto_delete, arguments, \
                                                   messages_ready, messages_unacknowledged, \
                                                   consumers, type])]",
        );
        let mut queues: Vec<DeclaredQueue> = rows
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| DeclaredQueue {
                name: text(row, "name"),
                durable: row["durable"] == true,
                auto_delete: row["auto_delete"] == true,
                arguments: asked_for(&row["arguments"]),
                ready: row["ready"].as_u64().unwrap_or_default(),
                unacked: row["unacked"].as_u64().unwrap_or_default(),
                consumers: row["consumers"].as_u64().unwrap_or_default(),
                queue_type: text(row, "module")
                    .trim_start_matches("rabbit_")
                    .trim_end_matches("_queue")
                    .to_owned(),
            })
            .collect();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        queues
    }

    #[must_use]
    #[track_caller]
    pub fn list_exchanges(&self) -> Vec<Exchange> {
        let rows = self.ask(
            "[#{name => element(4, proplists:get_value(name, I)), \
                kind => proplists:get_value(type, I), \
                durable => proplists:get_value(durable, I), \
                auto_delete => proplists:get_value(auto_delete, I), \
                arguments => rabbit_misc:amqp_table(proplists:get_value(arguments, I))} \
              || I <- rabbit_exchange:info_all(V, [name, type, durable, auto_delete, arguments])]",
        );
        let mut exchanges: Vec<Exchange> = rows
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| Exchange {
                name: text(row, "name"),
                kind: text(row, "kind"),
                durable: row["durable"] == true,
                auto_delete: row["auto_delete"] == true,
                arguments: row["arguments"].clone(),
            })
            .filter(|exchange| !exchange.name.is_empty() && !exchange.name.starts_with("amq."))
            .collect();
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        exchanges
    }

    #[must_use]
    #[track_caller]
    pub fn list_bindings(&self) -> Vec<DeclaredBinding> {
        let rows = self.ask(
            "[#{exchange => element(4, element(2, B)), routing_key => element(3, B), \
                queue => element(4, element(4, B))} || B <- rabbit_binding:list(V)]",
        );
        let mut bindings: Vec<DeclaredBinding> = rows
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| DeclaredBinding {
                exchange: text(row, "exchange"),
                queue: text(row, "queue"),
                routing_key: text(row, "routing_key"),
            })
            .filter(|binding| !binding.exchange.is_empty())
            .collect();
        bindings.sort();
        bindings
    }

    #[must_use]
    #[track_caller]
    pub fn connections(&self) -> u64 {
        self.ask(&format!("length([P || {CONNECTIONS_HERE}])")).as_u64().unwrap_or_default()
    }

    /// Returns osnl's connections to this virtual host that read a queue, by the broker's names, so that a test sees a
    /// reconnection as a new name.
    #[must_use]
    #[track_caller]
    pub fn connections_of_osnl(&self) -> Vec<String> {
        let properties = "proplists:get_value(client_properties, rabbit_networking:connection_info(P, [client_properties]))";
        let channels = "[proplists:get_value(channel_pid, C) || C <- rabbit_amqqueue:consumers_all(V)]";
        let readers = format!("[(catch rabbit_channel:info(C, [connection])) || C <- {channels}]");
        let seen = self.ask(&format!(
            "[list_to_binary(pid_to_list(P)) || {CONNECTIONS_HERE}, lists:member([{{connection, P}}], {readers}), \
             (catch case lists:keyfind(<<\"connection_name\">>, 1, {properties}) of \
                 {{_, _, <<\"osnl:\", _/binary>>}} -> true; _ -> false end) =:= true]"
        ));
        let names = seen.as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    #[must_use]
    pub fn greeting(&self) -> [String; 3] {
        let said = self.ask(
            "[list_to_binary(rabbit:product_name()), list_to_binary(rabbit:product_version()), \
              rabbit_nodes:cluster_name()]",
        );
        std::array::from_fn(|n| said[n].as_str().unwrap_or_default().to_owned())
    }

    #[must_use]
    pub fn heartbeats(&self) -> Vec<u64> {
        let seconds = "proplists:get_value(timeout, rabbit_networking:connection_info(P, [timeout]))";
        let seen = self.ask(&format!("[{seconds} || {CONNECTIONS_HERE}]"));
        seen.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    }

    /// Makes the node offer AMQP 1.0 on the port of 0-9-1, as RabbitMQ 4 does anyway, by a plugin of RabbitMQ's package. Returns the
    /// beginning of the addresses of queues.
    pub fn offer_amqp1(&self) -> &'static str {
        let program = "Plugins = filename:join(filename:dirname(filename:dirname(code:lib_dir(rabbit))), \"plugins\"), \
             Names = \"{amqp_client,amqp10_common,rabbitmq_amqp1_0}-3.*/ebin\", \
             [code:add_pathz(Path) || Path <- filelib:wildcard(filename:join(Plugins, Names))], \
             {module, _} = code:ensure_loaded(rabbit_amqp1_0_reader), \
             {ok, _} = application:ensure_all_started(rabbitmq_amqp1_0), <<>>";
        if self.greeting()[1].starts_with("3.") {
            self.node.eval(program).unwrap();
            return "/amq/queue/";
        }
        "/queues/"
    }

    #[track_caller]
    pub fn close_all_connections(&self, reason: &str) {
        let reason = binary(reason);
        self.ask(&format!(
            "begin [(catch rabbit_networking:close_connection(P, binary_to_list({reason}))) || {CONNECTIONS_HERE}], \
             true end"
        ));
    }

    /// Makes every channel of this virtual host fail with 406 PRECONDITION_FAILED, as after an acknowledgement of an
    /// unknown delivery.
    #[track_caller]
    pub fn fail_all_channels(&self) {
        self.ask(
            "begin [rabbit_channel_common:do(P, {'basic.ack', 4294967295, false}) || P <- rabbit_channel:list(), \
             (catch proplists:get_value(vhost, rabbit_channel:info(P, [vhost]))) =:= V], true end",
        );
    }

    /// Sets a user's password and grants everything in this virtual host. Users belong to the node: choose a name
    /// that no other test uses.
    #[track_caller]
    pub fn set_password(&self, user: &str, password: &str) {
        let (user, password) = (binary(user), binary(password));
        self.ask(&format!(
            "begin U = {user}, W = {password}, M = rabbit_auth_backend_internal, All = <<\".*\">>, \
             case M:lookup_user(U) of \
                 {{ok, _}} -> M:change_password(U, W, <<\"osnl\">>); \
                 _ -> M:add_user(U, W, <<\"osnl\">>) end, \
             ok = M:set_permissions(U, V, All, All, All, <<\"osnl\">>), true end"
        ));
    }

    /// Lets a user configure, write, and read what these patterns match.
    #[track_caller]
    pub fn set_permissions(&self, user: &str, permissions: [&str; 3]) {
        let (user, [configure, write, read]) = (binary(user), permissions.map(binary));
        self.ask(&format!(
            "begin ok = rabbit_auth_backend_internal:set_permissions({user}, V, {configure}, {write}, {read}, \
             <<\"osnl\">>), true end"
        ));
    }

    /// Lets a user of the node see virtual hosts by the management API.
    #[track_caller]
    pub fn set_tag(&self, user: &str, tag: &str) {
        let user = binary(user);
        self.ask(&format!(
            "begin ok = rabbit_auth_backend_internal:set_tags({user}, [{tag}], <<\"osnl\">>), true end"
        ));
    }

    /// Sets a policy for queues. The definition is JSON.
    #[track_caller]
    pub fn set_policy(&self, name: &str, pattern: &str, definition: &str) {
        self.set_policy_by("parse_set", [name, pattern, definition]);
    }

    /// Sets an operator policy for queues. The definition is JSON.
    #[track_caller]
    pub fn set_operator_policy(&self, name: &str, pattern: &str, definition: &str) {
        self.set_policy_by("parse_set_op", [name, pattern, definition]);
    }

    #[track_caller]
    fn set_policy_by(&self, function: &str, policy: [&str; 3]) {
        let [name, pattern, definition] = policy.map(binary);
        self.ask(&format!(
            "begin ok = rabbit_policy:{function}(V, {name}, {pattern}, {definition}, 0, <<\"queues\">>, <<\"osnl\">>), \
             true end"
        ));
    }

    #[track_caller]
    pub fn clear_policy(&self, name: &str) {
        let name = binary(name);
        self.ask(&format!(
            "case rabbit_policy:delete(V, {name}, <<\"osnl\">>) of {{error_string, E}} -> error(E); _ -> true end"
        ));
    }

    #[must_use]
    pub fn url_for(&self, user: &str, password: &str) -> String {
        self.url().replace("guest:guest", &format!("{user}:{password}"))
    }

    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        self.url().replace(&format!("127.0.0.1:{}/", self.node.amqp), &format!("127.0.0.1:{port}/"))
    }

    /// Deletes a queue with its messages; its consumers get a `basic.cancel`. A missing queue is no error.
    #[track_caller]
    pub fn delete_queue(&self, queue: &str) {
        let queue = binary(queue);
        self.ask(&format!(
            "case rabbit_amqqueue:lookup(rabbit_misc:r(V, queue, {queue})) of \
             {{ok, Q}} -> rabbit_amqqueue:delete(Q, false, false, <<\"osnl\">>), true; _ -> false end"
        ));
    }

    /// Makes a quorum queue without further arguments, as an operator may.
    #[track_caller]
    pub fn make_quorum_queue(&self, queue: &str) {
        let queue = binary(queue);
        self.ask(&format!(
            "begin {{new, _}} = rabbit_amqqueue:declare(rabbit_misc:r(V, queue, {queue}), true, false, \
             [{{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}}], none, <<\"osnl\">>), true end"
        ));
    }

    #[track_caller]
    pub fn purge_queue(&self, queue: &str) {
        let queue = binary(queue);
        self.ask(&format!(
            "begin {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(V, queue, {queue})), \
             {{ok, _}} = rabbit_amqqueue:purge(Q), true end"
        ));
    }

    /// Lets a quorum queue apply nothing, as a slow disk does, or go on.
    #[track_caller]
    pub fn suspend_queue(&self, queue: &str, is_suspended: bool) {
        let act = if is_suspended { "suspend" } else { "resume" };
        let queue = binary(queue);
        self.ask(&format!(
            "begin {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(V, queue, {queue})), \
             ok = sys:{act}(amqqueue:get_pid(Q)), true end"
        ));
    }

    /// Binds an exchange to another, so that messages of the first with this key go to the second too.
    #[track_caller]
    pub fn pass_on(&self, source: &str, key: &str, destination: &str) {
        let (source, key, destination) = (binary(source), binary(key), binary(destination));
        self.ask(&format!(
            "begin X = fun(N) -> rabbit_misc:r(V, exchange, N) end, \
             ok = rabbit_binding:add({{binding, X({source}), {key}, X({destination}), []}}, <<\"osnl\">>), true end"
        ));
    }

    #[track_caller]
    pub fn delete_exchange(&self, exchange: &str) {
        let exchange = binary(exchange);
        self.ask(&format!(
            "begin rabbit_exchange:delete(rabbit_misc:r(V, exchange, {exchange}), false, <<\"osnl\">>), true end"
        ));
    }

    /// Declares a durable exchange of any type.
    #[track_caller]
    pub fn declare_exchange(&self, exchange: &str, kind: &str) {
        let exchange = binary(exchange);
        self.ask(&format!(
            "begin rabbit_exchange:declare(rabbit_misc:r(V, exchange, {exchange}), {kind}, true, false, false, [], \
             <<\"osnl\">>), true end"
        ));
    }

    #[track_caller]
    fn ask(&self, expression: &str) -> Value {
        self.node.ask(&format!("begin V = {}, {expression} end", binary(&self.name)))
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        if self.owned {
            let _ =
                self.node.eval(&format!("rabbit_vhost:delete({}, <<\"osnl\">>), <<>>", binary(&self.name)));
        }
    }
}

/// An Erlang generator: `P` runs over the connections to `V`. A connection may close during the question, hence
/// `catch`.
const CONNECTIONS_HERE: &str = "P <- rabbit_networking:connections(), \
     (catch proplists:get_value(vhost, rabbit_networking:connection_info(P, [vhost]))) =:= V";

fn asked_for(arguments: &Value) -> Value {
    let mut arguments = arguments.clone();
    if arguments["x-queue-type"] == "classic"
        && let Some(arguments) = arguments.as_object_mut()
    {
        arguments.remove("x-queue-type");
    }
    arguments
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}
