use osnl_action::driver::Probe;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

const LITTLE: u64 = 64 << 20;

pub fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Asks the operating system. With `takes_pipes`, a pipe with a reader is accepted.
pub fn file_probe(section: &str, path: &Path, takes_pipes: bool) -> Probe {
    let probe = Probe::new(section, format!("file {}", path.display()));
    let kind = std::fs::metadata(path).ok().map(|there| there.file_type());
    if let Some(kind) = kind.filter(|kind| !kind.is_file()) {
        if kind.is_dir() {
            return probe.failed("is a folder", Some("name a file"));
        }
        if kind.is_fifo() && takes_pipes {
            return probe.unproven("is a pipe, and can be written while it has a reader", "start its reader");
        }
        if !kind.is_char_device() {
            return probe.failed("is not a regular file", Some("name a file"));
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (of, access) = match path.exists() {
        true => (path, Access::WRITE_OK),
        false => (folder, Access::WRITE_OK | Access::EXEC_OK),
    };
    match accessat(CWD, of, access, AtFlags::EACCESS) {
        Ok(()) => {
            let found =
                if path.exists() { "can be written" } else { "does not exist yet, and can be created" };
            let free = if path.exists() && !path.is_file() { None } else { free(folder) };
            match free.filter(|free| *free < LITTLE) {
                Some(free) => {
                    let left = format!("{found}, but its disk has {} MiB left", free >> 20);
                    probe.warning(left, "free some space: osnl retries what it cannot write")
                }
                None => probe.fine(found),
            }
        }
        Err(error) => {
            let error = std::io::Error::from(error);
            let advice = "name another one, or give this user write access";
            probe.failed(format!("cannot be written: {error}"), Some(advice))
        }
    }
}
