//! The first hour on a default cloud: from `osnl init nova` to the first effect, by what the screens say alone.

use std::path::Path;

use osnl_testkit::{DeclaredBinding, Notice, Sink, Vhost, wait_until};
use serde_json::json;

use crate::doctor::{Service, monitor, words};
use crate::harness::{Osnl, PROMPTLY, Place, SOON, incidents, instance};
use crate::management::node;
use crate::snapshot::look_until;

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

struct Hour {
    place: Place,
    vhost: Vhost,
    nova: Service,
    sink: Sink,
}

impl Hour {
    #[track_caller]
    fn osnl(&self, line: &str, status: i32) -> String {
        let (code, said) = self.said(line);
        assert_eq!(code, Some(status), "{line}: {said}");
        said
    }

    #[track_caller]
    fn said(&self, line: &str) -> (Option<i32>, String) {
        let line = words(line);
        assert_eq!(line[0], "osnl");
        let args: Vec<&str> = line[1..].iter().map(String::as_str).collect();
        let mut osnl = self.place.run(Path::new(OSNL), &args);
        let code = osnl.wait(PROMPTLY).code();
        (code, osnl.stdout() + &osnl.stderr())
    }

    fn edit(&self, from: &str, to: &str) {
        let text = self.place.read("osnl.conf");
        assert!(text.contains(from), "{from}: {text}");
        self.place.write("osnl.conf", text.replacen(from, to, 1));
    }

    fn run(&self) -> Osnl {
        self.place.run(Path::new(OSNL), &["run", "-c", "osnl.conf"]).listening()
    }

    fn delete(&mut self, n: usize) {
        self.nova.notify(&Notice {
            publisher_id: "compute.node1".to_owned(),
            event_type: "compute.instance.delete.end".to_owned(),
            payload: json!({"instance_id": instance(n)}),
            ..Notice::default()
        });
    }
}

/// Returns the command behind `->`, or behind the last `; ` of a line of `osnl check --connect`, that begins with a word.
#[track_caller]
fn command(screen: &str, program: &str) -> String {
    let found =
        screen.lines().find_map(|line| line.split_once(program).map(|(_, rest)| format!("{program}{rest}")));
    let command = found.unwrap_or_else(|| panic!("no {program} in\n{screen}"));
    command.trim().to_owned()
}

#[test]
fn from_init_to_the_first_effect_by_the_screens_alone() {
    let (broker, _) = node();
    let (place, vhost) = (Place::new(), broker.vhost("first-hour"));
    let nova = Service::new("nova", &vhost.url(), &place.path(""));
    let mut hour = Hour { place, vhost, nova, sink: Sink::start() };

    let init = format!("osnl init nova --target http --transport-url {} -o osnl.conf", hour.vhost.url());
    let written = hour.osnl(&init, 0);
    assert!(written.contains("replace CHANGE-ME, then run osnl check --connect -c osnl.conf"), "{written}");
    hour.edit("https://CHANGE-ME.example.com/events", &hour.sink.url("/events"));
    // The test's folder may be in memory.
    let state = format!("state_dir = {}", hour.place.path("state").display());
    hour.edit("#state_dir = /var/lib/osnl", &state);
    hour.edit("[journal]", "[journal]\nallow_volatile = true");

    hour.delete(1);
    let check = command(&written, "osnl check --connect");
    let checked = hour.osnl(&check, 0);
    assert!(!checked.contains("CHANGE-ME"), "{checked}");
    assert!(checked.contains("no service has published a notification"), "{checked}");
    let turn_on = command(&checked, "set [");
    assert!(turn_on.contains(" in /etc/nova/nova.conf, then restart"), "{turn_on}");

    // The operator starts osnl first, and nothing arrives.
    let osnl = hour.run();
    hour.delete(2);
    wait_until(SOON, "status names the exchange", || {
        let (code, status) = hour.said("osnl status -c osnl.conf");
        code == Some(1) && incidents(&status).iter().any(|line| line.contains(&turn_on))
    });
    let queues = hour.osnl("osnl queues -c osnl.conf", 1);
    assert!(queues.contains("exchange nova") && queues.contains("kolla-ansible"), "{queues}");
    assert_eq!(command(&queues, "set ["), turn_on);
    assert!(hour.sink.requests().is_empty());

    hour.nova.set(&turn_on);
    hour.delete(3);
    // The queue itself is bound to the default exchange.
    let (exchange, queue, key) = ("nova", "osnl-nova", "notifications.info");
    let is_it =
        |one: &DeclaredBinding| (&*one.exchange, &*one.queue, &*one.routing_key) == (exchange, queue, key);
    let is_bound = || hour.vhost.list_bindings().iter().any(is_it);
    wait_until(SOON, "osnl binds its queue", is_bound);
    hour.delete(4);
    // The event before may have its effect too, if osnl binds its queue between nova's exchange and that event.
    wait_until(SOON, "the event has its effect", || {
        let asked = hour.sink.requests();
        asked.iter().any(|request| String::from_utf8_lossy(&request.body).contains(&instance(4)))
    });
    // The event may arrive before the look that made the binding has ended.
    let is_well =
        |(code, status): &(Option<i32>, String)| *code == Some(0) && status.contains("\nlisteners\n");
    let status = look_until(|| hour.said("osnl status -c osnl.conf"), is_well);
    assert!(is_well(&status), "an incident is left: {:?}\n{}\n{}", status.0, status.1, osnl.stderr());

    let queues = hour.osnl("osnl queues -c osnl.conf", 0);
    assert!(queues.contains("queue notifications.info"), "{queues}");
    assert!(queues.contains("write in [listener:nova] of an osnl.conf: management_url = "), "{queues}");
    let api = format!("[listener:nova]\nmanagement_url = http://{}/", monitor(&[&hour.vhost]));
    hour.edit("[listener:nova]", &api);
    let mut queues = String::new();
    wait_until(SOON, "the API knows the queue", || {
        queues = hour.said("osnl queues -c osnl.conf").1;
        queues.contains("warning   queue notifications.info")
    });
    let bound = words(&command(&queues, "rabbitmqctl set_policy"));
    broker.ctl(&bound[1..].iter().map(String::as_str).collect::<Vec<_>>());
    wait_until(SOON, "the policy bounds the queue", || {
        !hour.said("osnl queues -c osnl.conf").1.contains("no consumer")
    });
    osnl.stop();
}
