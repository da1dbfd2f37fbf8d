use osnl::daemon::RunEnd;
use osnl_model::Priority;
use osnl_transport::MemoryBroker;

use super::*;
use crate::harness::{instance, port_deleted};
use crate::native::{native, publish, start};

/// Gathers events for a moment, answers in another order, and logs its input and process id. Dies once in the
/// middle of an event.
const GATHERING: &str = r#"
import json, os, select, signal, sys
folder = sys.argv[1]
open(os.path.join(folder, "pid-%d" % os.getpid()), "w").close()
told = open(os.path.join(folder, "told"), "a", buffering=1)
pipe, rest, kept, most = os.fdopen(0, "rb", buffering=0), b"", [], 0
while True:
    if kept and not select.select([pipe], [], [], 0.002)[0]:
        most = max(most, len(kept))
        for number in reversed(kept): print(json.dumps({"id": number, "verdict": "done"}), flush=True)
        kept = []
        continue
    data = pipe.read(65536)
    if not data: break
    *lines, rest = (rest + data).split(b"\n")
    for line in lines:
        event = json.loads(line)
        address = event["payload"]["port"]["fixed_ips"][0]["ip_address"]
        told.write("%s %s\n" % (event["resource"]["id"], address))
        if address == "10.0.0.20" and not os.path.exists(os.path.join(folder, "killed")):
            open(os.path.join(folder, "killed"), "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        kept.append(event["id"])
open(os.path.join(folder, "ended"), "w").write(str(most))
"#;

#[test]
fn order_is_kept_with_several_in_flight_and_a_child_that_dies_in_mid_event() {
    const KEYS: usize = 10;
    const EACH: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let script = written(&folder, "child.py", GATHERING);
    let conf = native(&format!(
        "[listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\\.end$\nactions = tell\n\
         [action:tell]\ndriver = exec\ncommand = {}, -S, {script}, {}\nconcurrency = 8\n",
        python(),
        folder.path().display()
    ));
    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    wait_until(SOON, "it is bound", || publish(&broker, "neutron", &Priority::Info, "x.y", &json!({})) == 1);
    for n in 0..EACH {
        for key in 0..KEYS {
            let mut payload = port_deleted(&instance(key), &format!("10.0.0.{n}"));
            payload["port"]["id"] = json!(format!("port-of-{key}"));
            publish(&broker, "neutron", &Priority::Info, "port.delete.end", &payload);
        }
    }
    let mut last = port_deleted(&instance(0), "10.0.0.20");
    last["port"]["id"] = json!("port-of-0");
    publish(&broker, "neutron", &Priority::Info, "port.delete.end", &last);
    daemon.wait_until("all are delivered", |c| c.delivered.get() == (KEYS * EACH + 1) as u64);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);

    let told = fs::read_to_string(folder.path().join("told")).unwrap();
    for key in 0..KEYS {
        let prefix = format!("port-of-{key} 10.0.0.");
        let mut seen: Vec<usize> =
            told.lines().filter_map(|line| line.strip_prefix(&prefix)).map(|n| n.parse().unwrap()).collect();
        seen.dedup();
        let expected: Vec<usize> = (0..EACH + usize::from(key == 0)).collect();
        assert_eq!(seen, expected, "instance {key}");
    }
    let repeated = told.lines().filter(|line| line.ends_with("10.0.0.20")).count();
    assert_eq!(repeated, 2, "it was killed in the middle of this event");
    let at_once: usize = fs::read_to_string(folder.path().join("ended")).unwrap().parse().unwrap();
    assert!((1..=8).contains(&at_once), "{at_once} at once");
    let pids = pids(&folder);
    assert_eq!(pids.len(), 2, "one was killed, one ended with its input");
    assert!(pids.iter().all(|pid| !is_there(*pid)), "{pids:?}");
}

/// Each further attempt would be another ticket.
#[test]
fn an_effect_without_a_verdict_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nwhile IFS= read -r line; do echo 4711 >> tickets; echo 'ticket 4711'; done\n";
    let conf = native(&format!(
        "[listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\\.end$\nactions = tell\n\
         [action:tell]\ndriver = exec\ncommand = {}\nworking_dir = {}\nretry_interval = 0s\n",
        written(&folder, "child.sh", script),
        folder.path().display()
    ));
    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    wait_until(SOON, "it is bound", || publish(&broker, "neutron", &Priority::Info, "x.y", &json!({})) == 1);
    let payload = port_deleted(&instance(0), "10.0.0.1");
    publish(&broker, "neutron", &Priority::Info, "port.delete.end", &payload);
    daemon.wait_until("it is given up", |c| c.dead.get() == 1);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
    assert_eq!(fs::read_to_string(folder.path().join("tickets")).unwrap(), "4711\n");
}

fn pids(folder: &TempDir) -> Vec<u32> {
    let names = fs::read_dir(folder.path()).unwrap().flatten();
    names.filter_map(|name| name.file_name().to_str()?.strip_prefix("pid-")?.parse().ok()).collect()
}

#[test]
fn a_time_limit_ends_what_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let script = written(
        &folder,
        "once.sh",
        &format!(
            "#!/bin/sh\ncd {path}\n: > pid-$$\nif mkdir hung 2>/dev/null; then sleep 1000; fi\necho $OSNL_RESOURCE_ID >> told\n"
        ),
    );
    let conf = native(&format!(
        "[listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\\.end$\nactions = tell\n\
         [action:tell]\ndriver = exec\nmode = once\ncommand = {script}\ntimeout = 2s\nstop_timeout = 100ms\n",
    ));
    let broker = MemoryBroker::new();
    let daemon = start(&conf, &broker);
    wait_until(SOON, "it is bound", || publish(&broker, "neutron", &Priority::Info, "x.y", &json!({})) == 1);
    for key in 0..2 {
        let mut payload = port_deleted(&instance(key), "10.0.0.1");
        payload["port"]["id"] = json!(format!("p{key}"));
        publish(&broker, "neutron", &Priority::Info, "port.delete.end", &payload);
    }
    daemon.wait_until("both are delivered", |c| c.delivered.get() == 2);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
    assert_eq!(fs::read_to_string(folder.path().join("told")).unwrap(), "p1\np0\n");
    let pids = pids(&folder);
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| !is_there(*pid)), "{pids:?}");
}

/// A script without a loop ends after each event, which is slow but loses nothing and keeps the order.
#[test]
fn a_child_that_ends_after_each_event_loses_nothing() {
    const EVENTS: usize = 12;
    for verdict in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let answer = if verdict {
            "printf '{\"id\": %s, \"verdict\": \"done\"}\\n' \"$n\""
        } else {
            "test -e again || { : > again; exit 3; }; printf '{\"id\": %s, \"verdict\": \"done\"}\\n' \"$n\""
        };
        let script = written(
            &folder,
            "child.sh",
            &format!(
                "#!/bin/sh\nIFS= read -r line || exit 0\nn=${{line#*:}}; n=${{n%%,*}}\nprintf '%s\\n' \"$line\" >> told\n{answer}\n"
            ),
        );
        let conf = native(&format!(
            "[listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\n\
             pool = osnl\n[rule:ports]\nevent_type = ^port\\.delete\\.end$\nactions = tell\n\
             [action:tell]\ndriver = exec\ncommand = {script}\nworking_dir = {}\nretry_interval = 0s\n",
            folder.path().display()
        ));
        let broker = MemoryBroker::new();
        let daemon = start(&conf, &broker);
        wait_until(SOON, "it is bound", || {
            publish(&broker, "neutron", &Priority::Info, "x.y", &json!({})) == 1
        });
        for n in 0..EVENTS {
            let payload = port_deleted(&instance(n % 2), &format!("10.0.0.{n}"));
            publish(&broker, "neutron", &Priority::Info, "port.delete.end", &payload);
        }
        daemon.wait_until("all are delivered", |c| c.delivered.get() == EVENTS as u64);
        assert_eq!(daemon.counters.dead.get(), 0);
        assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
        let told = fs::read_to_string(folder.path().join("told")).unwrap();
        for key in 0..2 {
            let mut seen: Vec<usize> = told
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"]["port"].clone())
                .filter(|port| port["device_id"] == instance(key))
                .map(|port| port["fixed_ips"][0]["ip_address"].as_str().unwrap()[7..].parse().unwrap())
                .collect();
            seen.dedup();
            assert_eq!(seen, (0..EVENTS).filter(|n| n % 2 == key).collect::<Vec<_>>(), "{verdict}");
        }
    }
}
