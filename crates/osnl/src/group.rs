use std::fs;

use tokio::net::unix::UCred;

/// A group of the system that gets access to a socket or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemGroup {
    pub name: String,
    pub gid: u32,
}

impl SystemGroup {
    pub fn find(name: &str) -> Result<Self, String> {
        if let Ok(gid) = name.parse() {
            return Ok(Self { name: name.to_owned(), gid });
        }
        let groups = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
        let rows = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let number = rows.filter(|row| row.first() == Some(&name)).find_map(|row| row.get(2)?.parse().ok());
        match number {
            Some(gid) => Ok(Self { name: name.to_owned(), gid }),
            None => Err(format!("there is no group {name:?} in /etc/group")),
        }
    }

    /// Whether a process is in the group: by its own group, or where the kernel shows these, by other groups. Another user's process has got the number of one that has ended.
    #[must_use]
    pub fn has(&self, peer: &UCred) -> bool {
        let others = || {
            let status = fs::read_to_string(format!("/proc/{}/status", peer.pid()?)).ok()?;
            Some(has_group(&status, peer.uid(), self.gid))
        };
        peer.gid() == self.gid || others().unwrap_or(false)
    }
}

/// Reads the groups in `/proc/PID/status`.
fn has_group(status: &str, uid: u32, gid: u32) -> bool {
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    numbers("Uid:").contains(&uid) && numbers("Groups:").contains(&gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_the_groups_of_its_process() {
        let status =
            "Name:\tosnl\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\nGroups:\t4 24 990 \n";
        let check = |uid, gid, expected| assert_eq!(has_group(status, uid, gid), expected, "{uid} {gid}");
        check(1000, 990, true);
        check(1000, 99, false);
        check(1000, 1000, false);
        check(1001, 990, false);
        assert!(!has_group("", 1000, 990));
    }
}
