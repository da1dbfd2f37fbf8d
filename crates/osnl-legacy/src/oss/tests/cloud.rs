//! A random cloud, the events of its services, and the required final reports: an address of an
//! instance was reported last as an allocation, a free address as a release.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use osnl_model::Notification;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;

const OWNERS: [&str; 4] = ["", "network:router_gateway", "Octavia", "baremetal:none"];

#[derive(Clone, Copy, Debug)]
struct Kind {
    legacy: bool,
    versioned: bool,
    old_neutron: bool,
    patched_nova: bool,
    envelope: bool,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    op: u8,
    a: usize,
    b: usize,
    heard: (u8, u8),
    twice: bool,
    restart: bool,
}

#[derive(Default)]
struct Port {
    device: Option<usize>,
    owner: &'static str,
    of_nova: bool,
    address: String,
    revision: u32,
}

#[derive(Default)]
struct FloatingAddress {
    port: Option<String>,
    revision: u32,
}

#[derive(Default)]
struct Cloud {
    made: usize,
    servers: BTreeSet<usize>,
    ports: BTreeMap<String, Port>,
    floating: BTreeMap<usize, FloatingAddress>,
    neutron: VecDeque<String>,
    nova: VecDeque<String>,
    messages: usize,
}

fn vm(n: usize) -> String {
    format!("vm-{n}")
}

fn floating_address(n: usize) -> String {
    format!("203.0.113.{}", n % 4)
}

impl Cloud {
    fn message(&mut self, kind: Kind, event_type: &str, payload: &Value) -> String {
        self.messages += 1;
        let message = json!({"event_type": event_type, "message_id": self.messages.to_string(), "payload": payload,
            "priority": "INFO", "publisher_id": "p", "timestamp": "2026-11-20 05:05:29.989704"});
        match kind.envelope {
            true => json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string(),
            false => message.to_string(),
        }
    }

    fn neutron(&mut self, kind: Kind, event_type: &str, payload: &Value) {
        let message = self.message(kind, event_type, payload);
        self.neutron.push_back(message);
    }

    fn device(&self, port: &str) -> (String, String) {
        let Port { device, owner, .. } = &self.ports[port];
        match device {
            Some(n) => (vm(*n), "compute:nova".to_owned()),
            None if owner.is_empty() => (String::new(), String::new()),
            None => ("device".to_owned(), (*owner).to_owned()),
        }
    }

    fn port_event(&mut self, kind: Kind, event_type: &str, id: &str) {
        self.ports.get_mut(id).unwrap().revision += 1;
        let (device, owner) = self.device(id);
        let port = &self.ports[id];
        let payload = json!({"port": {"id": id, "device_id": device, "device_owner": owner,
            "fixed_ips": [{"ip_address": port.address}], "revision_number": port.revision}, "port_id": id});
        self.neutron(kind, event_type, &payload);
    }

    fn floating_event(&mut self, kind: Kind, event_type: &str, n: usize) {
        let FloatingAddress { port, revision } = &self.floating[&n];
        let details = port.as_ref().map(|port| {
            let (device, owner) = self.device(port);
            json!({"device_id": device, "device_owner": owner})
        });
        let mut one = json!({"id": format!("fip-{n}"), "floating_ip_address": floating_address(n), "port_id": port,
            "revision_number": revision, "port_details": details});
        if kind.old_neutron {
            let one = one.as_object_mut().unwrap();
            one.remove("port_details");
            one.remove("revision_number");
        }
        self.neutron(kind, event_type, &json!({"floatingip": one}));
    }

    fn update(&mut self, kind: Kind, n: usize, asked: Value, port: Option<Option<String>>) {
        self.neutron(
            kind,
            "floatingip.update.start",
            &json!({"id": format!("fip-{n}"), "floatingip": asked}),
        );
        let floating = self.floating.get_mut(&n).unwrap();
        floating.revision += 1;
        if let Some(port) = port {
            floating.port = port;
        }
        self.floating_event(kind, "floatingip.update.end", n);
    }

    fn nova_events(&mut self, kind: Kind, n: usize, what: &str, addresses: bool) {
        let of = |port: &Port| port.device == Some(n);
        let ports: Vec<(String, String)> = self
            .ports
            .iter()
            .filter(|(_, port)| of(port))
            .map(|(id, port)| (id.clone(), port.address.clone()))
            .collect();
        if kind.legacy {
            let fixed: Vec<Value> = ports
                .iter()
                .map(|(id, address)| {
                    let mapped = self.floating.iter().filter(|(_, one)| one.port.as_ref() == Some(id));
                    let mapped: Vec<Value> =
                        mapped.map(|(n, _)| json!({"address": floating_address(*n)})).collect();
                    json!({"address": address, "floating_ips": mapped})
                })
                .collect();
            let mut payload = json!({"instance_id": vm(n), "hostname": vm(n), "memory_mb": 1});
            if addresses || kind.patched_nova {
                payload["fixed_ips"] = fixed.into();
            }
            let message = self.message(kind, &format!("compute.instance.{what}"), &payload);
            self.nova.push_back(message);
        }
        if kind.versioned {
            let ip = |(id, address): &(String, String)| json!({"nova_object.data": {"address": address, "port_uuid": id}});
            let ips: Vec<Value> = ports.iter().filter(|_| addresses).map(ip).collect();
            let payload = json!({"nova_object.namespace": "nova", "nova_object.data":
                {"uuid": vm(n), "host_name": vm(n), "ip_addresses": ips}});
            let message = self.message(kind, &format!("instance.{what}"), &payload);
            self.nova.push_back(message);
        }
    }

    fn nth_port(&self, n: usize, wanted: impl Fn(&Port) -> bool) -> Option<String> {
        let of: Vec<&String> = self.ports.iter().filter(|(_, port)| wanted(port)).map(|(id, _)| id).collect();
        (!of.is_empty()).then(|| of[n % of.len()].clone())
    }

    fn live(&mut self, kind: Kind, Step { op, a, b, .. }: Step) {
        self.made += 1;
        let made = self.made;
        let floating =
            (!self.floating.is_empty()).then(|| *self.floating.keys().nth(a % self.floating.len()).unwrap());
        let server =
            (!self.servers.is_empty()).then(|| *self.servers.iter().nth(a % self.servers.len()).unwrap());
        match (op % 10, floating, server) {
            (0, ..) => {
                self.servers.insert(made);
                if let Some(port) = self
                    .nth_port(b, |port| port.device.is_none() && port.owner.is_empty())
                    .filter(|_| a % 2 == 0)
                {
                    self.ports.get_mut(&port).unwrap().device = Some(made);
                    self.port_event(kind, "port.update.end", &port);
                }
                for nic in 0..1 + b % 3 {
                    let id = format!("port-{made}-{nic}");
                    let address = if a % 5 == 0 {
                        format!("2001:db8::{made}:{nic}")
                    } else {
                        format!("10.0.{made}.{nic}")
                    };
                    self.ports.insert(
                        id.clone(),
                        Port { device: Some(made), of_nova: true, address, ..Port::default() },
                    );
                    self.port_event(kind, "port.create.end", &id);
                }
                self.nova_events(kind, made, "create.end", true);
            }
            (1, _, Some(n)) => self.delete_server(kind, n),
            (2, ..) => {
                let id = format!("bare-{made}");
                let port =
                    Port { owner: OWNERS[a % 4], address: format!("10.1.{made}.1"), ..Port::default() };
                self.ports.insert(id.clone(), port);
                self.port_event(kind, "port.create.end", &id);
            }
            (3, _, Some(n)) => {
                if let Some(port) = self.nth_port(b, |port| port.device.is_none() && port.owner.is_empty()) {
                    self.ports.get_mut(&port).unwrap().device = Some(n);
                    self.port_event(kind, "port.update.end", &port);
                }
            }
            (4, ..) => {
                let bare = |port: &Port| !port.of_nova;
                if let Some(port) = self.nth_port(b, bare) {
                    if a % 2 == 0 {
                        self.delete_port(kind, &port);
                    } else if self.ports.get_mut(&port).and_then(|port| port.device.take()).is_some() {
                        self.port_event(kind, "port.update.end", &port);
                    }
                }
            }
            (5, ..) if !self.floating.keys().any(|n| n % 4 == made % 4) => {
                let port = if a % 2 == 0 { self.nth_port(b, |_| true) } else { None };
                self.floating.insert(made, FloatingAddress { port, revision: 0 });
                self.floating_event(kind, "floatingip.create.end", made);
            }
            (6 | 9, Some(n), _) => {
                if let Some(port) = self.nth_port(b, |_| true) {
                    self.update(kind, n, json!({"port_id": port}), Some(Some(port.clone())));
                }
            }
            (7, Some(n), _) if b % 3 == 0 => {
                self.floating_event(kind, "floatingip.delete.end", n);
                self.floating.remove(&n);
            }
            (7, Some(n), _) => self.update(kind, n, json!({"port_id": null}), Some(None)),
            (8, Some(n), _) => self.update(kind, n, json!({"description": "text"}), None),
            _ => {}
        }
    }

    fn delete_server(&mut self, kind: Kind, n: usize) {
        self.nova_events(kind, n, "delete.start", true);
        if kind.patched_nova {
            self.nova_events(kind, n, "delete.end", false);
        }
        let of_server = self.ports.iter().filter(|(_, port)| port.device == Some(n));
        let ports: Vec<String> = of_server.map(|(id, _)| id.clone()).collect();
        for id in ports {
            if self.ports[&id].of_nova {
                self.delete_port(kind, &id);
            } else {
                self.ports.get_mut(&id).unwrap().device = None;
                self.port_event(kind, "port.update.end", &id);
            }
        }
        self.servers.remove(&n);
        if !kind.patched_nova {
            self.nova_events(kind, n, "delete.end", false);
        }
    }

    fn delete_port(&mut self, kind: Kind, id: &str) {
        self.port_event(kind, "port.delete.end", id);
        self.ports.remove(id);
        for one in self.floating.values_mut().filter(|one| one.port.as_deref() == Some(id)) {
            (one.port, one.revision) = (None, one.revision + 1);
        }
    }

    fn holder(&self, n: usize) -> Option<String> {
        let port = self.floating[&n].port.as_ref()?;
        self.ports[port].device.map(vm)
    }
}

#[derive(Default)]
struct ReportReceiver {
    memory: Memory,
    kept: BTreeMap<String, String>,
    last: BTreeMap<String, (bool, String)>,
    came: BTreeSet<String>,
}

impl ReportReceiver {
    fn hear(&mut self, body: &str) {
        let lists = Lists::default();
        let notification = Notification::decode(body.as_bytes()).unwrap();
        let event_type = notification.event_type.clone().unwrap();
        let EventMeaning { happened, changes } = self.memory.interpret(&notification, None, &lists);
        for RowChange { name, row } in changes {
            match row {
                Some(row) => self.kept.insert(name, row),
                None => self.kept.remove(&name),
            };
        }
        if let EventReport::Calls(calls) = EventReport::from(happened, &event_type, None, &lists) {
            for PluginInvocation { happened, created } in calls {
                let id = happened.instance.id.unwrap_or_else(|| "nobody".to_owned());
                if created {
                    self.came.insert(id.clone());
                }
                self.last.insert(happened.ip.unwrap_or_default(), (created, id));
            }
        }
    }

    fn restart(&mut self) {
        self.memory = Memory::default();
        assert_eq!(self.memory.restore(self.kept.clone()), 0);
    }

    fn check(&self, cloud: &Cloud, dead: &BTreeSet<usize>) -> Result<(), TestCaseError> {
        let last = |address: &str| self.last.get(address).map(|(created, id)| (*created, &**id));
        for n in 0..4 {
            let address = floating_address(n);
            let holder = cloud.floating.keys().find(|one| *one % 4 == n).and_then(|one| cloud.holder(*one));
            match (holder, last(&address)) {
                (Some(holder), told) => prop_assert_eq!(told, Some((true, &*holder)), "{}", address),
                (None, told) => prop_assert!(!told.is_some_and(|(came, _)| came), "{} {:?}", address, told),
            }
        }
        for n in &cloud.servers {
            prop_assert!(self.came.contains(&vm(*n)), "nothing was told of {}", vm(*n));
        }
        for n in dead {
            for (address, (came, id)) in &self.last {
                prop_assert!(!(*came && *id == vm(*n)), "{} is still {}'s", address, id);
            }
        }
        let known = |id: &str| id.strip_prefix("vm-").is_some();
        for (address, (_, id)) in &self.last {
            prop_assert!(known(id) || id == "nobody", "{} is told of {}", address, id);
        }
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (any::<u8>(), 0..60_usize, 0..60_usize, (0..4_u8, 0..4_u8), any::<bool>(), prop::bool::weighted(0.1));
    let step = step.prop_map(|(op, a, b, heard, twice, restart)| Step { op, a, b, heard, twice, restart });
    prop::collection::vec(step, 1..40)
}

fn kinds() -> impl Strategy<Value = Kind> {
    (0..3_u8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(form, old_neutron, patched_nova, envelope)| Kind {
            legacy: form != 1,
            versioned: form != 0,
            old_neutron,
            patched_nova,
            envelope,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_last_is_what_is_so(kind in kinds(), steps in steps()) {
        let (mut cloud, mut heard, mut dead) = (Cloud::default(), ReportReceiver::default(), BTreeSet::new());
        for step in steps {
            let before = cloud.servers.clone();
            cloud.live(kind, step);
            dead.extend(before.difference(&cloud.servers).copied());
            let mut again = Vec::new();
            for (queue, most) in [(&mut cloud.neutron, step.heard.0), (&mut cloud.nova, step.heard.1)] {
                for _ in 0..most {
                    let Some(body) = queue.pop_front() else { break };
                    heard.hear(&body);
                    if step.twice {
                        again.push(body);
                    }
                }
            }
            again.iter().for_each(|body| heard.hear(body));
            if step.restart {
                heard.restart();
            }
        }
        let left: Vec<String> = cloud.neutron.drain(..).chain(cloud.nova.drain(..)).collect();
        left.iter().for_each(|body| heard.hear(body));
        heard.check(&cloud, &dead)?;
    }
}
