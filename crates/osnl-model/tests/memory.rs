//! The memory of the worst messages that are accepted: each kind is read, masked and written in a process of its own,
//! whose kernel reports its peak.
//!
//! `cargo test --release -p osnl-model --test memory -- --nocapture` prints what each kind takes; without optimization
//! the budget is an eighth, so that it takes seconds.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic anywhere")]
#![expect(clippy::print_stdout, reason = "a child says what it took, and the test prints a table")]

#[path = "../../osnl-testkit/src/hostile.rs"]
#[expect(unreachable_pub, dead_code, reason = "a module of another crate, of which the trees are used")]
mod hostile;

use std::process::Command;

use osnl_model::{Budget, Compression, ContentInfo, Masked};

/// Names the kind and the size to a child.
const CASE: &str = "OSNL_TEST_MEMORY_CASE";

/// The goal: so many times the largest body.
const TIMES: usize = 20;

const fn budget() -> Budget {
    let whole = Budget::DEFAULT;
    let part = if cfg!(debug_assertions) { 8 } else { 1 };
    Budget { body: whole.body / part, values: whole.values / part, ..whole }
}

fn message(kind: &str, bytes: usize) -> String {
    let tree = hostile::trees(bytes).into_iter().find(|(name, _)| *name == kind).expect("a kind").1;
    hostile::enveloped(&hostile::notification("x.y", &format!(r#"{{"a": {tree}}}"#)))
}

/// In bytes.
fn status(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<usize>().unwrap() * 1024
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (bytes, kind) = case.split_once(' ').unwrap();
    let packed = Compression::Gzip.compress(message(kind, bytes.parse().unwrap()).as_bytes());
    // Begins to count anew; what has been freed stays with the allocator, so the first to say is what there is.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let info = ContentInfo { compression: Some("gzip"), ..ContentInfo::default() };
    let plain = budget().plain_body(&packed, &info).unwrap();
    let read = budget().decode(&plain).unwrap();
    // As a cloud event is made, and another action's text beside it.
    let event = serde_json::json!({ "payload": osnl_model::mask_secrets(&read.payload) });
    let text = event.to_string();
    let again = serde_json::to_string(&Masked::value(&read.payload)).unwrap();
    assert!(text.len() >= again.len());
    println!("peak {} {}", status("VmHWM").saturating_sub(before), plain.len());
}

/// The largest message of a kind that the budget lets in.
fn largest(kind: &str) -> usize {
    let accepted = |bytes: usize| budget().decode(message(kind, bytes).as_bytes()).is_ok();
    let (mut least, mut most) = (0, budget().body);
    while most - least > budget().body / 64 {
        let middle = least.midpoint(most);
        if accepted(middle) { least = middle } else { most = middle }
    }
    least
}

#[test]
fn the_worst_message_takes_twenty_times_the_largest_body_at_most() {
    let limit = budget().body * TIMES;
    let mut found = Vec::new();
    for (kind, _) in hostile::trees(100) {
        let bytes = largest(kind);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CASE, format!("{bytes} {kind}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let numbers = said.lines().find_map(|line| line.split_once("peak ")).map(|(_, numbers)| numbers);
        let (peak, plain) =
            numbers.and_then(|numbers| numbers.split_once(' ')).unwrap_or_else(|| panic!("{said}"));
        found.push((peak.parse::<usize>().unwrap(), plain.trim().parse::<usize>().unwrap(), kind));
    }
    found.sort_unstable();
    for (peak, plain, kind) in found.iter().rev() {
        println!(
            "| {kind} | {plain} | {:.1} MiB | {:.1} |",
            *peak as f64 / 1048576.0,
            *peak as f64 / budget().body as f64
        );
    }
    let (peak, plain, kind) = found.last().unwrap();
    assert!(*peak <= limit, "{kind}: {plain} bytes took {peak}, more than {limit}");
}
