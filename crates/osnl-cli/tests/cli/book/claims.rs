use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A document or a source with its words, and the code that must change with them: a file below `crates`, and its text.
#[rustfmt::skip]
const NUMBERS: &[(&str, &str, &str, &str)] = &[
    ("docs/journal.md", "free space at the start", "osnl-journal/src/sqlite/writer.rs", "let max_size = options.max_size();"),
    ("docs/journal.md", "waits at most 50 ms for", "osnl-journal/src/sqlite/writer.rs", "const END_WAIT: Duration = Duration::from_millis(50);"),
    ("SECURITY.md", "nest deeper than 16 levels", "osnl-transport/src/rabbit/headers.rs", "const DEEPEST: usize = 16;"),
    ("SECURITY.md", "1,024 values in all", "osnl-transport/src/rabbit/headers.rs", "const MOST_VALUES: usize = 1024;"),
    ("SECURITY.md", "(4 MiB unpacked), 500,000 values and 10,000 resources", "osnl-model/src/budget.rs", "DEFAULT: Self = Self { body: 4 * 1024 * 1024, values: 500_000, resources: 10_000 };"),
    ("SECURITY.md", "for up to 60,000 where", "osnl-model/src/budget.rs", "resources: 60_000 };"),
    ("SECURITY.md", "and 120 levels of", "osnl-model/src/budget.rs", "const DEPTH: usize = 120;"),
    ("SECURITY.md", "100,000 resources and 128 MiB", "osnl-legacy/src/oss/memory.rs", "const MOST_BYTES: usize = 128 << 20;"),
    ("SECURITY.md", "100,000 resources and 128 MiB", "osnl-legacy/src/oss/memory.rs", "const MOST: usize = 100_000;"),
    ("SECURITY.md", "256 KiB of metadata", "osnl-legacy/src/oss/bounds.rs", "METADATA_BYTES: usize = 256 << 10;"),
    ("SECURITY.md", "repeats 16 MiB of instances", "osnl-legacy/src/oss/bounds.rs", "MESSAGE_DETAILS: usize = 16 << 20;"),
    ("SECURITY.md", "a start reads 256 MiB", "osnl/src/assembly/orphans.rs", "MOST_SEEN: usize = 256 << 20;"),
    ("SECURITY.md", "at most 20 times `max_body`", "osnl-model/tests/cost.rs", "const TIMES: usize = 20;"),
    ("SECURITY.md", "holds 64 MiB of unsettled bodies", "osnl-transport/src/bodies.rs", "in_hand: 64 << 20"),
    ("SECURITY.md", "a body above 16 MiB", "osnl-transport/src/bodies.rs", "whole: 16 << 20"),
    ("SECURITY.md", "only 64 KiB reach", "osnl-transport/src/bodies.rs", "const HEAD: usize = 64 << 10;"),
    ("SECURITY.md", "while 20,000 of its deliveries", "osnl-engine/src/listener/session/step.rs", "const MOST_DELIVERIES: usize = 20_000;"),
    ("SECURITY.md", "its turn every 10 ms", "osnl-engine/src/listener/session/step.rs", "const SLICE: Duration = Duration::from_millis(10);"),
    ("SECURITY.md", "at most 10,000 dead letters", "osnl-transport/src/rabbit/dead_letters.rs", "const MOST: u16 = 10_000;"),
    ("SECURITY.md", "each header at most 1 KiB", "osnl-journal/src/dead_letters.rs", "const LONGEST: usize = 1024;"),
    ("SECURITY.md", "and 64 MiB of bodies", "osnl/src/dead_letters/queue.rs", "const BODIES: u64 = 64 << 20;"),
    ("SECURITY.md", "at three unexpected ends", "osnl-journal/src/in_hand.rs", "const MOST_ENDS: u32 = 3;"),
    ("SECURITY.md", "(`reply_limit`, 64 KiB;", "osnl-net/src/http/client.rs", "reply_limit: 64 * 1024"),
    ("SECURITY.md", "all headers 64 KiB;", "osnl-net/src/http/client.rs", "const MOST_HEAD: usize = 64 * 1024;"),
    ("SECURITY.md", "has at most 64 streams", "osnl-model/src/body.rs", "const MOST_STREAMS: usize = 64;"),
    ("SECURITY.md", "mail servers 16 KiB", "osnl-actions/src/mail/smtp.rs", "const LONGEST_REPLY: usize = 16 * 1024;"),
    ("SECURITY.md", "Without a test: the 16 KiB", "osnl-actions/src/mail/smtp.rs", "const LONGEST_REPLY: usize = 16 * 1024;"),
    ("SECURITY.md", "for at most an hour", "osnl-net/src/http/answer.rs", "const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);"),
    ("SECURITY.md", "frame is 131,072 bytes", "osnl-transport/src/rabbit/frames.rs", "const LARGEST: u32 = 131_072;"),
    ("SECURITY.md", "accepted frame is 65,536 bytes", "osnl-amqp1/src/wire.rs", "const LONGEST_FRAME: u32 = 65_536;"),
    ("SECURITY.md", "only 64 KiB and a digest", "osnl-transport/src/bodies.rs", "const HEAD: usize = 64 << 10;"),
    ("SECURITY.md", "one answer has at most 1 MiB", "osnl-kafka/src/options.rs", "const ONE_ANSWER: u32 = 1 << 20;"),
    ("SECURITY.md", "after 12 hours", "osnl-admin/src/page/session.rs", "const LIFE: Duration = Duration::from_secs(12 * 60 * 60);"),
    ("SECURITY.md", "the oldest of 65", "osnl-admin/src/page/session.rs", "const MOST: usize = 64;"),
    ("SECURITY.md", "64 connections, 200 requests", "osnl-admin/src/pace.rs", "const MOST: usize = 64;"),
    ("SECURITY.md", "200 requests per second", "osnl-admin/src/pace.rs", "const EACH: Duration = Duration::from_millis(5);"),
    ("SECURITY.md", "16 readers of live events", "osnl/src/live.rs", "const MOST_READERS: usize = 16;"),
    ("SECURITY.md", "looks at 2,000,000 values", "osnl-config/src/template/limits.rs", "const WORK: u64 = 2_000_000;"),
    ("SECURITY.md", "ends after half a second", "osnl-config/src/template/work.rs", "const LONGEST_LOOP: Duration = Duration::from_millis(500);"),
    ("SECURITY.md", "at most 200 tokens per second", "osnl-admin/src/pace.rs", "const EACH: Duration = Duration::from_millis(5);"),
    ("SECURITY.md", "wrong tokens wait half a second each", "osnl-admin/src/guesses.rs", "const EACH: Duration = Duration::from_millis(500);"),
    ("SECURITY.md", "10 seconds at most, and right ones", "osnl-admin/src/guesses.rs", "const LONGEST: Duration = Duration::from_secs(10);"),
    ("SECURITY.md", "tokens under 16 characters", "osnl/src/native/admin.rs", "write at least 16 visible characters"),
    ("SECURITY.md", "and 1,024 addresses", "osnl-legacy/src/oss/bounds.rs", "INSTANCE_ADDRESSES: usize = 1024;"),
    ("SECURITY.md", "one port 128 addresses", "osnl-legacy/src/oss/bounds.rs", "PORT_ADDRESSES: usize = 128;"),
    ("SECURITY.md", "and 128 floating IPs", "osnl-legacy/src/oss/bounds.rs", "PORT_FLOATING_IPS: usize = 128;"),
    ("SECURITY.md", "at most every 10 seconds", "osnl-admin/src/guesses.rs", "const SAID_EACH: Duration = Duration::from_secs(10);"),
    ("SECURITY.md", "files** above 16 MiB", "osnl-config/src/source.rs", "const LARGEST_FILE: u64 = 16 * 1024 * 1024;"),
    ("SECURITY.md", "is at most 3 seconds", "osnl-delivery/src/breaker.rs", "const LONGEST_FRESH: Duration = Duration::from_secs(3);"),
    ("docs/concepts.md", "ended deliveries for `retention` (7 days)", "osnl-journal/src/bounds.rs", "retention: Duration = \"7d\""),
    ("docs/concepts.md", "more than 10,000 letters", "osnl-transport/src/rabbit/dead_letters.rs", "const MOST: u16 = 10_000;"),
    ("crates/osnl-cli/src/command/deliveries.rs", "the first 10,000 letters of each queue", "osnl-transport/src/dead_letters.rs", "MOST_READ: usize = 10_000;"),
    ("crates/osnl-admin/src/page/change.rs", "the first 10,000 letters of each queue", "osnl-transport/src/dead_letters.rs", "MOST_READ: usize = 10_000;"),
    ("crates/osnl/src/control/answer.rs", "the first 10,000 letters of each queue", "osnl-transport/src/dead_letters.rs", "MOST_READ: usize = 10_000;"),
    ("crates/osnl/src/control/quarantine.rs", "the first 10,000 letters of each queue", "osnl-transport/src/dead_letters.rs", "MOST_READ: usize = 10_000;"),
    ("docs/concepts.md", "[two files](journal.md#bounds) of 64 MiB", "osnl-journal/src/sqlite/archive.rs", "const LARGEST: u64 = 64 << 20;"),
    ("docs/concepts.md", "`max_dead` (10,000) dead letters", "osnl-journal/src/bounds.rs", "max_dead: u64 = \"10000\""),
    ("docs/concepts.md", "to the broker's queue after 5 minutes", "osnl-engine/src/listener.rs", "GIVE_BACK_AFTER: Duration = Duration::from_secs(5 * 60);"),
    ("docs/concepts.md", "`retry_max_age` (24 hours;", "osnl/src/native/deliveries.rs", "retry_max_age: Option<Duration> as max_age = \"24h\""),
    ("docs/concepts.md", "after pauses of up to 30 s", "osnl-delivery/src/enrich/cache.rs", "const LONGEST_PAUSE: Duration = Duration::from_secs(30);"),
    ("docs/concepts.md", "first attempts of two deliveries fail", "osnl-delivery/src/breaker.rs", "const FAILING_KEYS: usize = 2;"),
    ("docs/concepts.md", "at least 64 must fail", "osnl-delivery/src/breaker.rs", "const MANY_FAILING: usize = 64;"),
    ("docs/concepts.md", "the calls for 5 resources", "osnl-delivery/src/breaker.rs", "const REFUSED_KEYS: usize = 5;"),
    ("docs/concepts.md", "within the last minute", "osnl-delivery/src/breaker.rs", "const LATELY: Duration = Duration::from_secs(60);"),
    ("docs/concepts.md", "the row must last for 10 s", "osnl-delivery/src/breaker.rs", "const LONG_ROW: Duration = Duration::from_secs(10);"),
    ("docs/concepts.md", "a refused login (401, 407) for two: the target is down", "osnl-delivery/src/breaker.rs", "const FAILING_KEYS: usize = 2;"),
    ("docs/concepts.md", "from one second to at most 30 s", "osnl-delivery/src/breaker.rs", "const LONGEST_OPEN: Duration = Duration::from_secs(30);"),
    ("docs/concepts.md", "probes after at most 3 s", "osnl-delivery/src/breaker.rs", "const LONGEST_FRESH: Duration = Duration::from_secs(3);"),
    ("docs/concepts.md", "longer than 255 bytes", "osnl-model/src/digest.rs", "const LONGEST_ID: usize = 255;"),
    ("docs/concepts.md", "waits up to 30 s for the attempts", "osnl-cli/src/app.rs", "const DRAIN_DEADLINE: Duration = Duration::from_secs(30);"),
    ("docs/concepts.md", "to the queue after 15 minutes", "osnl-journal/src/memory/limits.rs", "pub const STAY: Duration = Duration::from_secs(15 * 60);"),
    ("docs/concepts.md", "waits for 5 s and then says *busy*", "osnl/src/dead_letters/queue.rs", "const BUSY: Duration = Duration::from_secs(5);"),
    ("SECURITY.md", "fewer than four bytes", "osnl-model/src/scrub.rs", "const SHORTEST: usize = 4;"),
    ("SECURITY.md", "is asked about once a second", "osnl-transport/src/backoff.rs", "const ROUND: Duration = Duration::from_secs(1);"),
    ("SECURITY.md", "sets `127.0.0.1:9464`", "../packaging/etc/osnl.conf", "listen = 127.0.0.1:9464"),
    ("SECURITY.md", "payloads have mode 0600", "osnl-actions/src/file/open.rs", "Self::at(path, 0o600"),
    ("SECURITY.md", "payloads have mode 0600", "osnl-actions/src/file/conf.rs", "mode: u32 as mode = \"0600\""),
    ("SECURITY.md", "payloads have mode 0600", "osnl-journal/src/sqlite/place.rs", ".mode(0o600)"),
    ("SECURITY.md", "log files 0640", "osnl-cli/src/logging/file.rs", "const MODE: u32 = 0o640;"),
    ("SECURITY.md", "the control socket 0600 (0660 with", "osnl/src/control/socket.rs", "share(&fresh, group, 0o660)"),
    ("SECURITY.md", "TLS 1.2 or 1.3", "osnl-net/src/http/tls.rs", "(&[&rustls::version::TLS13, &rustls::version::TLS12])"),
    ("SECURITY.md", "can ask for 10,000 deliveries", "osnl-model/src/budget.rs", "resources: 10_000 };"),
    ("SECURITY.md", "as much as 10,000 messages", "osnl-model/src/budget.rs", "resources: 10_000 };"),
    ("SECURITY.md", "`max_body` is above 4 MiB", "osnl-model/src/budget.rs", "body: 4 * 1024 * 1024,"),
    ("SECURITY.md", "for each 4 MiB of it", "osnl-model/src/budget.rs", "body: 4 * 1024 * 1024,"),
    ("SECURITY.md", "`MemoryMax=1G`", "../packaging/systemd/osnl.service", "MemoryMax=1G"),
    ("SECURITY.md", "for each connection (64 MiB)", "osnl-transport/src/bodies.rs", "in_hand: 64 << 20"),
    ("SECURITY.md", "A body below 16 MiB", "osnl-transport/src/bodies.rs", "whole: 16 << 20"),
    ("docs/concepts.md", "younger than `retention` (7 days)", "osnl-journal/src/bounds.rs", "retention: Duration = \"7d\""),
    ("docs/concepts.md", "binds the queue to it within a second", "osnl-engine/src/listener/bindings/looks.rs", "const MISSING: Duration = Duration::from_secs(1);"),
    ("docs/concepts.md", "within [5 s](queues.md", "osnl-transport/src/contract.rs", "BINDING_INTERVAL: Duration = Duration::from_secs(5);"),
    ("docs/queues.md", "every 5 s: osnl makes its bindings", "osnl-transport/src/contract.rs", "BINDING_INTERVAL: Duration = Duration::from_secs(5);"),
    ("docs/queues.md", "what the broker refuses each minute", "osnl-engine/src/listener/bindings/looks.rs", "const REFUSED: Duration = Duration::from_secs(60);"),
    ("docs/queues.md", "before a message, at most every 10 s", "osnl-transport/src/rabbit/publisher/link.rs", "const PREPARED: Duration = Duration::from_secs(10);"),
    ("docs/concepts.md", "probes grows from one second to", "osnl/src/native/deliveries.rs", "const FIRST_PAUSE: Duration = Duration::from_secs(1);"),
    ("docs/concepts.md", "429, or a 503 with", "osnl-action/src/driver.rs", "(true, true) => \"no connection, 429, 503 with Retry-After\""),
    ("docs/concepts.md", "connection reset; 408, 425, or any other 5xx", "osnl-action/src/http_request/conf/table.rs", "retry: Statuses = \"408, 425, 429, 5xx\""),
    ("docs/concepts.md", "what does not fit into 1 GiB of bodies", "osnl-transport/src/topology/queue.rs", "const MOST_DEAD_LETTERS: i64 = 1 << 30;"),
    ("docs/concepts.md", "a refused login (401, 407)", "osnl-core/src/attempt.rs", "Self::Status(401 | 407)"),
    ("docs/concepts.md", "(a 3xx but 303, 400, 403, 404, or 405)", "osnl-delivery/src/breaker.rs", "FAILED | 300..=399 | 400 | 401 | 403 | 404 | 405"),
    ("docs/turning-notifications-on.md", "Old `notification_driver` and `notification_topics`", "osnl-transport/src/rabbit/options/former.rs", "FormerOption::new(\"notification_driver\", &[])"),
    ("docs/concepts.md", "a failing program for 5", "osnl-delivery/src/breaker.rs", "const REFUSED_KEYS: usize = 5;"),
    ("docs/troubleshooting.md", "500,000 JSON values and 10,000 resources", "osnl-model/src/budget.rs", "values: 500_000, resources: 10_000 };"),
    ("docs/troubleshooting.md", "bulk request (at most 60,000)", "osnl-model/src/budget.rs", "resources: 60_000 };"),
    ("docs/troubleshooting.md", "120 levels of depth", "osnl-model/src/budget.rs", "const DEPTH: usize = 120;"),
    ("docs/troubleshooting.md", "while 20,000 of its deliveries", "osnl-engine/src/listener/session/step.rs", "const MOST_DELIVERIES: usize = 20_000;"),
    ("docs/troubleshooting.md", "160 MiB [remembered]", "osnl-legacy/src/oss/memory.rs", "const MOST_BYTES: usize = 128 << 20;"),
    ("docs/troubleshooting.md", "160 MiB [remembered]", "osnl-legacy/src/oss/memory/decided.rs", "MOST_MEMORY: usize = 32 << 20;"),
    ("docs/kafka.md", "in at most 3,500 bytes", "osnl-kafka/src/offsets.rs", "const MOST: usize = 3500;"),
    ("docs/kafka.md", "Four of the 28 promises", "osnl-kafka/src/lib.rs", "const ABSENT: [&str; 4]"),
    ("docs/kafka.md", "the other 24, tansu with 18", "osnl-kafka/tests/it/rig.rs", "const TANSU_LACKS: [&str; 6]"),
    ("docs/amqp1.md", "12 do not apply to AMQP 1.0", "osnl-amqp1/src/lib.rs", "const ABSENT: [&str; 12]"),
    ("docs/page.md", "at most 16 readers", "osnl/src/live.rs", "const MOST_READERS: usize = 16;"),
    ("docs/page.md", "at most 100 events per\n  second", "osnl/src/live.rs", "const MOST_A_SECOND: u32 = 100;"),
    ("docs/monitoring.md", "the first 500 of a listener", "osnl-core/src/metrics/event_types.rs", "const MOST_TYPES: usize = 500;"),
];

/// Words with numbers that no code decides: RabbitMQ's own, and examples.
const OF_OTHERS: &[&str] = &[
    "a message of 30 KB",
    "broker's own time-out of 30 minutes",
    "RabbitMQ 3 and the broker is 4",
    "default is 20)",
    "such as 403",
    "at most 100 different",
    "From the 101st",
    "at most 100 calls",
    "up to 50 deliveries",
    "at most 100 instances",
];

fn read(path: &str) -> String {
    fs::read_to_string(super::root().join(path)).unwrap()
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_number_of_the_promises_has_its_row() {
    // One digit counts with a unit, because versions and lists have such digits too.
    let number =
        Regex::new(r"\b\d[\d,]+|\b\d (?:[KMG]iB|m?s|seconds|minutes|hours|days|resources|times)\b").unwrap();
    let code = Regex::new("`[^`]*`").unwrap();
    for document in ["SECURITY.md", "docs/concepts.md"] {
        let of_it = NUMBERS.iter().filter(|row| row.0 == document).map(|row| row.1);
        let known = of_it.chain(OF_OTHERS.iter().copied());
        let rest =
            known.fold(in_one_line(&read(document)), |rest, words| rest.replace(&in_one_line(words), ""));
        let rest = code.replace_all(&rest, "");
        let lacking: Vec<&str> = number.find_iter(&rest).map(|found| found.as_str()).collect();
        assert!(lacking.is_empty(), "{document}: NUMBERS has no row for {lacking:?}");
    }
}

#[test]
fn numbers_in_the_documents_are_those_of_the_code() {
    let mut wrong = Vec::new();
    for (document, words, file, code) in NUMBERS {
        if !in_one_line(&read(document)).contains(&in_one_line(words)) {
            wrong.push(format!("{document} lacks \"{words}\""));
        }
        if !read(&format!("crates/{file}")).contains(code) {
            wrong.push(format!("crates/{file} lacks `{code}`: mend \"{words}\" in {document}, and this row"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_promise_lacks_its_test() {
    let text = fs::read_to_string(super::root().join("SECURITY.md")).unwrap();
    let promises = text.split("## Promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut known = BTreeSet::new();
    tests_below(&super::root().join("crates"), &mut known);
    let promises: Vec<&str> = promises.split("\n- **").skip(1).collect();
    assert!(promises.len() > 20, "{}", promises.len());
    for promise in promises {
        let name = promise.split("**").next().unwrap();
        let (_, tests) = promise.split_once("\n  Tests: ").unwrap_or_else(|| panic!("{name}: no line Tests"));
        let tests = tests.split(". ").next().unwrap().split("\n\n").next().unwrap();
        let named = tests.split('`').skip(1).step_by(2).filter(|name| !name.contains(['.', '/']));
        let gone: Vec<&str> = named.filter(|name| !known.contains(*name)).collect();
        assert!(gone.is_empty(), "{name}: there is no test {gone:?}");
    }
}

/// Collects the functions with the attribute of a test, other attributes and comments between both allowed.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    let test = Regex::new(r"#\[(?:tokio::)?test\b[^{;]*?\bfn (\w+)").unwrap();
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(test.captures_iter(&text).map(|test| test[1].to_owned()));
        }
    }
}
