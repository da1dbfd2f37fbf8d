use std::process::{Command, Stdio};

use osnl_transport::Declare;

use super::session::{ConsumerSession, POOL, depth_becomes, neutron, options};
use super::{BrokerRig, SampleMessage};

const MESSAGES: u16 = 500;
const SIZE: usize = 100_000;
const LIMIT: u64 = 120_000_000;
const ALONE: &str = "OSNL_TEST_ALONE";
/// Runs a program without this process's open files. Every child inherits the connections of Kafka's mock cluster,
/// which then stay open although the cluster closes them.
const WITHOUT_OPEN_FILES: &str = r#"for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || eval "exec $fd>&-"
done
exec "$0" "$@""#;

/// Runs this test's program again with this test alone, named by `path` with modules and crate, and calls `test`
/// there. Other tests would distort a process's peak memory.
pub fn in_a_process_of_its_own(path: &str, test: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let name = path.split_once("::").map_or(path, |(_, rest)| rest);
    let output = Command::new("bash")
        .args(["--norc", "-c", WITHOUT_OPEN_FILES])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
}

pub async fn five_hundred_messages_of_100_kb_in_flight_stay_within_120_mb<R: BrokerRig>(mut rig: R) {
    let wide = options(POOL, MESSAGES, Declare::Create);
    let mut session = ConsumerSession::open_with(&*rig.transport(), &neutron(), &wide).await;
    for _ in 0..MESSAGES / 10 {
        rig.publish((0..10).map(|_| SampleMessage::new(vec![b'x'; SIZE])).collect()).await;
    }
    let taken = session.take(usize::from(MESSAGES)).await;
    assert_eq!(taken.iter().map(|m| m.body.len()).sum::<usize>(), SIZE * usize::from(MESSAGES));
    let peak = peak_memory();
    assert!(peak < LIMIT, "{peak} bytes");
    session.acknowledge(taken);
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 0);
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
