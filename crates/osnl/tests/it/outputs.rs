//! Drivers that write events to files, sockets and logs, from message to output: real files, sockets and TLS.

mod k2hr3_register;
pub(crate) mod mail;
mod probes;
pub(crate) mod publish;
mod shards;
mod syslog;

use std::path::Path;

use osnl::native::{Native, load_texts};
use osnl_transport::MemoryBroker;

use crate::harness::{DaemonRig, instance, port_deleted, publish, sources};

pub(crate) fn native(folder: &Path, action: &str) -> Native {
    let text = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nallow_volatile = true\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\npriorities = info\n\
         pool = osnl\n[rule:ports]\nevent_type = ^port\\.\nactions = a\n[action:a]\n{action}\n",
        folder.display()
    );
    let loaded = load_texts(&[("test.conf".to_owned(), text)], &sources());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf
}

pub(crate) fn start(conf: &Native, broker: &MemoryBroker) -> DaemonRig {
    DaemonRig::bound(conf, broker, &["neutron"])
}

pub(crate) fn publish_ports(broker: &MemoryBroker, which: std::ops::Range<usize>) {
    for n in which {
        publish(broker, &port_deleted(&instance(n), &format!("10.0.0.{n}")));
    }
}

#[test]
fn every_event_is_one_line_and_the_files_are_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let path = folder.path().join("audit.jsonl");
    let conf = native(
        folder.path(),
        &format!("driver = file\npath = {}\nrotate_size = 4KiB\nrotate_keep = 100", path.display()),
    );
    let daemon = start(&conf, &broker);
    publish_ports(&broker, 0..60);
    daemon.wait_until("all are written", |c| c.delivered.get() == 60);
    daemon.stop().unwrap();
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("audit"))
        .collect();
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    let mut keys = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.len() <= 4 * 1024 && text.ends_with('\n'), "{}", file.display());
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            keys.push(object["idempotency_key"].as_str().unwrap().to_owned());
        }
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 60);
}

#[test]
fn a_folder_that_is_gone_holds_the_target_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let broker = MemoryBroker::new();
    let path = logs.join("a.tsv");
    let template = "template = {{ event_type }}\t{{ payload.port.device_id }}\t{{ rule }}";
    let conf = native(
        folder.path(),
        &format!("driver = file\npath = {}\nformat = template\n{template}", path.display()),
    );
    let daemon = start(&conf, &broker);
    publish_ports(&broker, 0..1);
    daemon.wait_until("it is written", |c| c.delivered.get() == 1);
    std::fs::remove_dir_all(&logs).unwrap();
    publish_ports(&broker, 1..2);
    daemon.wait_until("it was tried", |c| c.failures.get() > 0);
    std::fs::create_dir(&logs).unwrap();
    daemon.wait_until("it is written too", |c| c.delivered.get() == 2);
    daemon.stop().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), format!("port.delete.end\t{}\tports\n", instance(1)));
}
