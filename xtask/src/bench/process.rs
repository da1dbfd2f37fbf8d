use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use osnl_testkit::Guard;

/// The kernel counts CPU time for programs in hundredths of a second, at any rate of its own clock.
const TICK: Duration = Duration::from_millis(10);

pub(super) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    _guard: Guard,
}

impl Process {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let guard = Guard::over(&[child.id()], None);
        let (stdin, stdout) = (
            child.stdin.take(),
            child.stdout.take().map(|stdout| BufReader::with_capacity(64 * 1024, stdout)),
        );
        Ok(Self { name, child, stdin, stdout, _guard: guard })
    }

    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_line(&mut line)?;
        }
        let line = line.trim();
        anyhow::ensure!(!line.is_empty(), "{} ended without an answer", self.name);
        Ok(line.to_owned())
    }

    pub(super) fn send(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("no input")?;
        writeln!(stdin, "{line}").with_context(|| format!("{} reads no more", self.name))
    }

    pub(super) fn cpu(&self) -> Result<Duration> {
        let [own, _] = cpu(&self.proc("stat")?).with_context(|| format!("no CPU time of {}", self.name))?;
        Ok(own)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the bytes that the process has sent to the disk so far: pages of files as it changed them, also those
    /// that the kernel has yet to write.
    pub(super) fn written(&self) -> Result<u64> {
        let io = self.proc("io")?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
        Ok(bytes.with_context(|| format!("no write_bytes of {}", self.name))?.trim().parse()?)
    }

    pub(super) fn watched(&self) -> Result<Watched> {
        let status = self.proc("status")?;
        let memory = kibibytes(&status, "RssAnon:");
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count();
        Ok(Watched {
            memory: memory.with_context(|| format!("no memory of {}", self.name))? / 1024.0,
            descriptors,
        })
    }

    /// Whether another program traces all threads of the process.
    pub(super) fn is_traced(&self) -> Result<bool> {
        let folder = format!("/proc/{}/task", self.child.id());
        for thread in std::fs::read_dir(&folder).with_context(|| format!("{} is gone", self.name))? {
            // A thread may have ended since.
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else { continue };
            if status.lines().any(|line| line == "TracerPid:\t0") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the peak of anonymous memory, in MiB: the peak of the resident set less the pages of files, which only
    /// grow while memory is left. The kernel keeps no peak of anonymous memory alone.
    pub(super) fn peak_memory(&self) -> Result<f64> {
        anonymous_peak(&self.proc("status")?)
            .with_context(|| format!("no memory in the status of {}", self.name))
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(path).with_context(|| format!("{} is gone", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part of a process that may not grow.
pub(super) struct Watched {
    /// The anonymous memory, in MiB.
    pub(super) memory: f64,
    pub(super) descriptors: usize,
}

/// Returns the CPU time of all processes that this one has started and that have ended.
pub(super) fn cpu_of_ended() -> Result<Duration> {
    let [_, ended] = cpu(&std::fs::read_to_string("/proc/self/stat")?).context("/proc/self/stat")?;
    Ok(ended)
}

/// Returns the CPU time of a process, and that of its children that have ended.
fn cpu(stat: &str) -> Option<[Duration; 2]> {
    // The name of the program is in parentheses and may contain any character. The list begins with the third field;
    // utime, stime, cutime, and cstime are the 14th to 17th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some([TICK * (ticks(11)? + ticks(12)?), TICK * (ticks(13)? + ticks(14)?)])
}

fn anonymous_peak(status: &str) -> Option<f64> {
    Some((kibibytes(status, "VmHWM:")? - kibibytes(status, "RssFile:")?) / 1024.0)
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_those_of_the_process_and_of_its_ended_children() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 150 40 0 0 12 3 400 50 20 0 1 0 99 1000 20";
        assert_eq!(cpu(stat), Some([Duration::from_millis(150), Duration::from_millis(4_500)]));
        assert_eq!(cpu("7 (a) S 1"), None);
    }

    #[test]
    fn pages_of_files_are_no_part_of_the_peak() {
        let status = "Name:\tosnl\nVmHWM:\t   52224 kB\nVmRSS:\t   51200 kB\nRssAnon:\t   28672 kB\nRssFile:\t   22528 kB\n";
        assert_eq!(anonymous_peak(status), Some(29.0));
        assert_eq!(anonymous_peak("Name:\tosnl\n"), None);
    }
}
