//! The system calls of a program by kind, counted by strace.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use osnl_testkit::{RestartableProgram, wait_until};

use super::process::Process;
use super::stage::SOON;

/// The kinds of calls that the table has columns for; all others are one more.
pub(super) const KINDS: [(&str, &[&str]); 7] = [
    ("futex", &["futex"]),
    ("pwrite64", &["pwrite64"]),
    ("fdatasync", &["fdatasync", "fsync"]),
    ("fcntl", &["fcntl"]),
    ("epoll", &["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"]),
    ("reads", &["read", "readv", "recvfrom", "recvmsg", "pread64"]),
    ("writes", &["write", "writev", "sendto", "sendmsg"]),
];

/// Whether strace is installed. The summary of a run without it says so.
pub(super) fn is_there() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// Counts the calls of a process while `during` runs, which also makes the process slower.
pub(super) fn calls(
    process: &Process,
    file: &Path,
    during: impl FnOnce() -> Result<()>,
) -> Result<BTreeMap<String, u64>> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(file).args(["-p", &process.id().to_string()]);
    let mut strace = RestartableProgram::start(strace);
    wait_until(SOON, "strace to trace the program", || {
        !strace.is_running() || process.is_traced().is_ok_and(|is_traced| is_traced)
    });
    let ran = during();
    strace.signal("INT");
    let status = strace.wait(SOON);
    ran?;
    let summary = std::fs::read_to_string(file)
        .ok()
        .filter(|summary| !summary.is_empty())
        .with_context(|| format!("strace wrote no summary ({status}): {}", strace.output().trim()))?;
    counts(&summary)
}

/// Reads lines such as ` 79.10    0.012345          10      1234        56 futex`; the column of errors may be empty.
fn counts(summary: &str) -> Result<BTreeMap<String, u64>> {
    let rows =
        summary.lines().filter(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()));
    let rows = rows.map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|words| words.last() != Some(&"total"))
        .map(|words| {
            let (name, count) = (words.last().copied(), words.get(3).and_then(|count| count.parse().ok()));
            let (name, count) = name.zip(count).with_context(|| format!("no count: {}", words.join(" ")))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

/// Returns the calls of each kind for one of `events`, then those of no kind.
pub(super) fn per_event(calls: &BTreeMap<String, u64>, events: u64) -> Vec<f64> {
    let sum = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<u64>();
    let known: Vec<u64> = KINDS.iter().map(|(_, names)| sum(names)).collect();
    let others = calls.values().sum::<u64>() - known.iter().sum::<u64>();
    known.into_iter().chain([others]).map(|count| count as f64 / events as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_strace_has_counts_by_kind() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
                       ------ ----------- ----------- --------- --------- ----------------\n \
                       79.10    0.012345          10      1200        56 futex\n \
                       10.00    0.000345           4       100           read\n  \
                       0.90    0.000045           4        50           pread64\n  \
                       0.00    0.000000           4       400           madvise\n\
                       ------ ----------- ----------- --------- --------- ----------------\n\
                       100.00    0.012345          10      1750        56 total\n";
        let counts = counts(summary).unwrap();
        assert_eq!(per_event(&counts, 100), [12.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.0, 4.0]);
        assert!(super::counts(" 79.10 0.1 futex\n").is_err());
    }
}
