//! The peak of resident memory, by the kernel.

use std::fs;

/// The resident memory in MiB of a daemon with a full window, also for a debug build.
pub(super) const MOST_OF_DAEMON: f64 = 200.0;
/// The resident memory in MiB of a node of RabbitMQ.
pub(super) const MOST_OF_NODE: f64 = 600.0;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemoryPeaks {
    pub(super) daemon: f64,
    pub(super) node: f64,
}

impl MemoryPeaks {
    pub(super) fn note(&mut self, daemons: impl Iterator<Item = u32>, nodes: impl Iterator<Item = u32>) {
        self.daemon = daemons.filter_map(peak).fold(self.daemon, f64::max);
        let nodes: Vec<u32> = nodes.collect();
        let members = processes().into_iter().filter(|(_, group)| nodes.contains(group));
        self.node = members.filter_map(|(process, _)| peak(process)).fold(self.node, f64::max);
    }

    pub(super) fn beyond(&self) -> Option<String> {
        (self.daemon > MOST_OF_DAEMON || self.node > MOST_OF_NODE).then(|| {
            format!(
                "memory in MiB: {:.0} of a daemon, at most {MOST_OF_DAEMON}; {:.0} of a node, at most {MOST_OF_NODE}",
                self.daemon, self.node
            )
        })
    }
}

pub(super) fn peak(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

/// Returns each process with its process group.
fn processes() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let with_group = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name of the program is in parentheses and may contain any character.
        let group = stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()?;
        Some((process, group))
    };
    numbers.filter_map(with_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_in_its_group_with_its_memory() {
        let own = std::process::id();
        let found = processes();
        let (_, group) = *found.iter().find(|(process, _)| *process == own).unwrap();
        let mut peaks = MemoryPeaks::default();
        peaks.note([own].into_iter(), [group].into_iter());
        assert!(peaks.daemon > 0.5 && peaks.node >= peaks.daemon, "{peaks:?}");
        assert_eq!(peaks.beyond(), None);
        assert!(MemoryPeaks { daemon: 201.0, node: 1.0 }.beyond().is_some());
        assert!(MemoryPeaks { daemon: 1.0, node: 601.0 }.beyond().is_some());
    }
}
