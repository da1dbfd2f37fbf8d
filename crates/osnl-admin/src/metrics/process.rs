use std::fs;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessNumbers {
    /// The CPU time of the user and of the system.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    /// Of the resident memory what no file has. Linux counts it since 4.5.
    pub anonymous_bytes: Option<u64>,
    pub virtual_bytes: u64,
    /// The limit of virtual memory; without a limit the largest number, as in the client libraries.
    pub max_virtual_bytes: u64,
    pub open_fds: u64,
    pub max_fds: Option<u64>,
    pub threads: u64,
    pub started: SystemTime,
}

impl ProcessNumbers {
    pub fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let status = fs::read_to_string("/proc/self/status")?;
        let boot = fs::read_to_string("/proc/stat")?;
        let open_fds = fs::read_dir("/proc/self/fd")?.count() as u64;
        Self::parse(&stat, &status, &boot, open_fds)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Parses `proc(5)`. The program's name may have any characters, so fields count from its end.
    fn parse(stat: &str, status: &str, boot: &str, open_fds: u64) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
        #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
        let in_seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.strip_suffix(" kB"));
        Some(Self {
            cpu_seconds: in_seconds(field(14)? + field(15)?),
            resident_bytes: field(24)?.saturating_mul(rustix::param::page_size() as u64),
            anonymous_bytes: anonymous.and_then(|kib| Some(kib.trim().parse::<u64>().ok()? * 1024)),
            virtual_bytes: field(23)?,
            max_virtual_bytes: getrlimit(Resource::As).current.unwrap_or(u64::MAX),
            open_fds,
            max_fds: getrlimit(Resource::Nofile).current,
            threads: field(20)?,
            started: UNIX_EPOCH + Duration::from_secs(boot) + Duration::from_secs_f64(in_seconds(field(22)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_this_process_are_plausible() {
        let process = ProcessNumbers::read().unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.virtual_bytes >= process.resident_bytes);
        let anonymous = process.anonymous_bytes.unwrap();
        assert!(anonymous > 100 << 10 && anonymous < process.virtual_bytes, "{anonymous}");
        assert!(process.open_fds >= 3 && process.threads >= 1);
        let age = SystemTime::now().duration_since(process.started).unwrap_or_default();
        assert!(age < Duration::from_secs(3600), "{age:?}");
    }

    #[test]
    fn a_name_with_a_bracket_moves_no_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1000 2048000 100 18446744073709551615";
        let status = "Name:\ta) b\nVmRSS:\t   30000 kB\nRssAnon:\t    4000 kB\nRssFile:\t   26000 kB\n";
        let read = |status| ProcessNumbers::parse(stat, status, "cpu 1\nbtime 1700000000\n", 5).unwrap();
        let process = read(status);
        assert_eq!(process.anonymous_bytes, Some(4_096_000));
        assert_eq!(read("VmRSS:\t   30000 kB\n").anonymous_bytes, None, "a kernel before 4.5");
        assert_eq!((process.cpu_seconds, process.threads, process.virtual_bytes), (3.0, 3, 2_048_000));
        assert_eq!(process.started, UNIX_EPOCH + Duration::from_secs(1_700_000_010));
    }
}
