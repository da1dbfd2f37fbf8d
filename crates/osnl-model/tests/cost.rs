//! The memory and the time of the worst accepted messages. A process of its own reads, masks and
//! writes each kind, and its kernel reports peak memory and CPU time.
//!
//! `cargo test --release -p osnl-model --test cost -- --nocapture` prints the results. Without
//! optimization the budget is an eighth, so that the test takes seconds.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic anywhere")]
#![expect(clippy::print_stdout, reason = "a child says what it took, and the test prints a table")]

#[path = "../../osnl-testkit/src/hostile.rs"]
#[expect(unreachable_pub, dead_code, reason = "a module of another crate, of which the trees are used")]
mod hostile;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use osnl_model::{Budget, Compression, ContentInfo, MaskedJson};

const CASE: &str = "OSNL_TEST_COST_CASE";

const TIMES: usize = 20;

const BESIDE: usize = if cfg!(debug_assertions) { 1 << 20 } else { 0 };

/// The limit of time for a MiB, with optimization. A debug build takes ten times as long.
const MOST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 3_000 } else { 200 });

const fn budget() -> Budget {
    let whole = Budget::DEFAULT;
    let part = if cfg!(debug_assertions) { 8 } else { 1 };
    Budget { body: whole.body / part, values: whole.values / part, ..whole }
}

struct Kind {
    name: &'static str,
    text: Option<String>,
}

impl Kind {
    fn all() -> Vec<Self> {
        let trees = hostile::trees(100).into_iter().map(|(name, _)| Self { name, text: None });
        let texts = hostile::texts(budget().body);
        trees.chain(texts.into_iter().map(|(name, text)| Self { name, text: Some(text) })).collect()
    }

    fn message(&self, bytes: usize) -> String {
        let value = match &self.text {
            Some(text) => pieces(&text[..text.floor_char_boundary(bytes)]),
            None => hostile::trees(bytes).into_iter().find(|(name, _)| *name == self.name).expect("a tree").1,
        };
        hostile::enveloped(&hostile::notification("x.y", &format!(r#"{{"a": {value}}}"#)))
    }

    fn largest(&self) -> String {
        let accepted = |bytes: usize| budget().decode(self.message(bytes).as_bytes()).is_ok();
        let (mut least, mut most) = (0, budget().body);
        // The bytes of a message grow with its value, and bound most kinds: two looks instead of six.
        let near = most * most / self.message(most).len().max(most);
        let (below, above) = (near - near / 128, (near + near / 128).min(most));
        match (accepted(below), accepted(above)) {
            (true, true) => least = above,
            (true, false) => (least, most) = (below, above),
            (false, _) => most = below,
        }
        while most - least > budget().body / 64 {
            let middle = least.midpoint(most);
            if accepted(middle) { least = middle } else { most = middle }
        }
        self.message(least)
    }
}

fn pieces(mut text: &str) -> String {
    let mut array = String::from("[0");
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(250 * 1024));
        array += &format!(r#",{{"name":{}}}"#, hostile::quoted(piece));
        text = rest;
    }
    array + "]"
}

fn cpu_time() -> Duration {
    // A switch of threads updates the kernel's statistics.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn status(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<usize>().unwrap() * 1024
}

#[test]
fn child() {
    if std::env::var_os(CASE).is_none() {
        return;
    }
    let mut packed = Vec::new();
    std::io::stdin().read_to_end(&mut packed).unwrap();
    // Resets the peak. The allocator keeps freed memory, so the current size is the base.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, begun) = (status("VmRSS"), cpu_time());
    let info = ContentInfo { compression: Some("gzip"), ..ContentInfo::default() };
    let plain = budget().plain_body(&packed, &info).unwrap();
    let read = budget().decode(&plain).unwrap();
    let event = serde_json::json!({ "payload": osnl_model::mask_secrets(&read.payload) });
    let text = event.to_string();
    let again = serde_json::to_string(&MaskedJson::value(&read.payload)).unwrap();
    let took = cpu_time() - begun;
    assert!(text.len() >= again.len());
    let peak = status("VmHWM").saturating_sub(before);
    println!("cost {peak} {} {} ", plain.len(), took.as_nanos());
}

struct Cost {
    kind: &'static str,
    peak: usize,
    plain: usize,
    took: Duration,
}

impl Cost {
    fn measure(kind: &Kind) -> Self {
        let packed = Compression::Gzip.compress(kind.largest().as_bytes());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CASE, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&packed).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let numbers = said.lines().find_map(|line| line.split_once("cost ")).map(|(_, numbers)| numbers);
        let mut numbers = numbers.unwrap_or_else(|| panic!("{}: {said}", kind.name)).split(' ');
        let mut next = || numbers.next().unwrap().parse::<u64>().unwrap();
        let (peak, plain) = (next() as usize, next() as usize);
        Self { kind: kind.name, peak, plain, took: Duration::from_nanos(next()) }
    }

    fn rate(&self) -> Duration {
        self.took.div_f64((self.plain as f64 / 1048576.0).max(1.0))
    }
}

#[test]
fn the_worst_message_takes_twenty_times_the_largest_body_and_200_ms_a_mib_at_most() {
    let mut costs = Vec::new();
    for kind in Kind::all() {
        let mut cost = Cost::measure(&kind);
        if cost.rate() > MOST {
            cost.took = cost.took.min(Cost::measure(&kind).took);
        }
        costs.push(cost);
    }
    costs.sort_unstable_by_key(|cost| cost.peak);
    println!("| kind | bytes | peak | times max_body | ms for a MiB |");
    for cost in costs.iter().rev() {
        println!(
            "| {} | {} | {:.1} MiB | {:.1} | {:.0} |",
            cost.kind,
            cost.plain,
            cost.peak as f64 / 1048576.0,
            cost.peak as f64 / budget().body as f64,
            cost.rate().as_secs_f64() * 1000.0
        );
    }
    for Cost { kind, peak, plain, .. } in &costs {
        assert!(*peak <= budget().body * TIMES + BESIDE, "{kind}: {plain} bytes took {peak} bytes");
    }
    for cost in &costs {
        assert!(cost.rate() <= MOST, "{}: a MiB took {:?}", cost.kind, cost.rate());
    }
}
