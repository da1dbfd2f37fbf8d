use std::time::{Duration, Instant};

use osnl_testkit::{Postgres, wait_until};

use crate::stage::{SOON, Stage};

/// Longer than the expectation, so that a silent stream is reported within this time.
const LONG: Duration = Duration::from_secs(14);

fn is_silent(stage: &Stage, name: &str) -> bool {
    stage.status(name).to_string().contains("listener neutron: silent")
}

fn speak(stage: &mut Stage, names: &[&str], n: &mut u64) {
    let begun = Instant::now();
    wait_until(SOON, "a time longer than the expectation", || {
        // A question takes seconds on a slow machine, and the stream must speak meanwhile.
        for name in names {
            stage.publish(*n..*n + 1);
            *n += 1;
            assert!(!is_silent(stage, name), "{name}: {}", stage.status(name));
        }
        begun.elapsed() > LONG
    });
}

#[test]
fn a_daemon_judges_what_it_reads_and_a_standby_raises_no_alarm() {
    let mut stage = Stage::new("expected", &Postgres::shared().database());
    let edits = [("prefetch = 10", "prefetch = 10\nexpect = 1 per 6s")];
    let mut reader = stage.daemon_with("a", &edits);
    wait_until(SOON, "it to read", || stage.status("a")["listeners"][0]["state"] == "listening");
    let other = stage.daemon_with("b", &edits);
    wait_until(SOON, "it to stand by", || stage.status("b")["listeners"][0]["state"] == "standby");
    wait_until(SOON, "silence", || is_silent(&stage, "a"));
    stage.publish(0..1);
    wait_until(SOON, "the end of the silence", || !is_silent(&stage, "a"));
    let mut n = 1;
    speak(&mut stage, &["a", "b"], &mut n);
    assert!(!other.output().contains("a stream is silent"), "{}", other.output());
    reader.kill9();
    speak(&mut stage, &["b"], &mut n);
    wait_until(SOON, "silence once more", || is_silent(&stage, "b"));
    other.wait_for("a stream is silent", 1, SOON);
}
