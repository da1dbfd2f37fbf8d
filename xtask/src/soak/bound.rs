//! A bound of a program's memory, as `MemoryMax=` of a unit: a cgroup of either version, or the address space.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

pub(super) struct Bound {
    bytes: u64,
    kind: BoundKind,
}

enum BoundKind {
    Group(PathBuf),
    AddressSpace,
}

const VERSIONS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

impl Bound {
    pub(super) fn make(bytes: u64) -> Result<Self> {
        for (folder, file) in VERSIONS {
            let group = Path::new(folder).join(format!("osnl-soak-{}", std::process::id()));
            // Version 2 creates the file only if the controller is switched on.
            if Path::new(folder).join("cgroup.procs").exists() && fs::create_dir(&group).is_ok() {
                if group.join(file).exists() && fs::write(group.join(file), bytes.to_string()).is_ok() {
                    return Ok(Self { bytes, kind: BoundKind::Group(group) });
                }
                fs::remove_dir(&group).with_context(|| group.display().to_string())?;
            }
        }
        Ok(Self { bytes, kind: BoundKind::AddressSpace })
    }

    pub(super) fn command(&self, program: &Path, args: &[&str], file: &Path) -> Command {
        let mut command = Command::new("sh");
        match &self.kind {
            BoundKind::Group(folder) => {
                command
                    .args(["-c", "echo $$ >\"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"])
                    .arg(folder);
            }
            BoundKind::AddressSpace => {
                let script = "ulimit -v \"$1\" && shift && exec \"$@\"";
                command.args(["-c", script, "sh", &(self.bytes >> 10).to_string()]);
            }
        }
        command.arg(program).args(args).arg(file);
        command
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes >> 20;
        match &self.kind {
            BoundKind::Group(_) => write!(f, "in a cgroup of {mib} MiB"),
            BoundKind::AddressSpace => write!(f, "with {mib} MiB of address space"),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let BoundKind::Group(folder) = &self.kind {
            let _ = fs::remove_dir(folder);
        }
    }
}
