//! The log file: appends, rotates at local midnight, reopens after a move.
//!
//! As Python's `TimedRotatingFileHandler(when="midnight", backupCount=31)`: the first line of a new
//! day moves the file to `<name>.<YYYY-MM-DD>`, the day of its lines. A file that exists at the
//! start has the day of its last change. Dated files beyond `keep` are deleted, oldest first. Three
//! things are safer: only a regular file is moved (`/dev/null` stays), an existing dated file is
//! not overwritten, and lines continue in a file that cannot be moved.
//!
//! Writing a line checks the path at most once a second, and opens a new file if the path has
//! another file or none. The caller passes the time.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, Zoned};

/// For the owner, and a group that reads logs, because lines may hold dead letters. An existing
/// file keeps its mode.
const MODE: u32 = 0o640;
const CHECK_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogRotation {
    None,
    AtMidnight { keep: usize },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct WriteResult {
    pub(super) written: bool,
    pub(super) remark: Option<String>,
}

#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    rotation: LogRotation,
    open: Option<OpenLogFile>,
    checked_at: Timestamp,
    failing: bool,
    torn: bool,
}

#[derive(Debug)]
struct OpenLogFile {
    file: File,
    is: (u64, u64),
    day: Option<Date>,
}

impl LogWriter {
    pub(super) fn open(path: &Path, rotation: LogRotation, now: &Zoned) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let open = Some(OpenLogFile::at(&path, now)?);
        Ok(Self { path, rotation, open, checked_at: now.timestamp(), failing: false, torn: false })
    }

    pub(super) fn write(&mut self, now: &Zoned, line: &str) -> WriteResult {
        let mut remark = None;
        let result = self.follow(now, &mut remark).and_then(|()| self.append(line));
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    remark = Some(format!("log file {}: written again", self.path.display()));
                }
                WriteResult { written: true, remark }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let path = self.path.display();
                    remark = Some(format!(
                        "log file {path}: {error}; its lines come here until it can be written"
                    ));
                }
                WriteResult { written: false, remark }
            }
        }
    }

    pub(super) fn reopen(&mut self, now: &Zoned) {
        self.checked_at = now.timestamp();
        self.open = OpenLogFile::at(&self.path, now).ok();
    }

    fn follow(&mut self, now: &Zoned, remark: &mut Option<String>) -> io::Result<()> {
        let since = now.timestamp().duration_since(self.checked_at);
        // A clock that was set back must not prevent the check.
        if self.rotates_at(now).is_some() || since >= CHECK_INTERVAL || since.is_negative() {
            self.checked_at = now.timestamp();
            let there = fs::metadata(&self.path).ok().map(|there| identity(&there));
            if there.is_none() || there != self.open.as_ref().map(|open| open.is) {
                self.open_anew(now)?;
            }
        }
        // If another program has rotated the file, the new file was opened above and has the new
        // day.
        let (Some(day), LogRotation::AtMidnight { keep }) = (self.rotates_at(now), self.rotation) else {
            return Ok(());
        };
        match self.move_away(day) {
            Ok(true) => {
                self.open_anew(now)?;
                self.prune(keep);
            }
            // The dated name exists, so lines continue in this file until the next midnight.
            Ok(false) => self.stay(now),
            Err(error) => {
                self.stay(now);
                let path = self.path.display();
                *remark = Some(format!(
                    "log file {path}: cannot be rotated ({error}); its folder must be writable"
                ));
            }
        }
        Ok(())
    }

    fn open_anew(&mut self, now: &Zoned) -> io::Result<()> {
        self.open = None;
        self.torn = false;
        self.open = Some(OpenLogFile::at(&self.path, now)?);
        Ok(())
    }

    fn rotates_at(&self, now: &Zoned) -> Option<Date> {
        match self.rotation {
            LogRotation::None => None,
            LogRotation::AtMidnight { .. } => self.open.as_ref()?.day.filter(|day| now.date() > *day),
        }
    }

    fn move_away(&self, day: Date) -> io::Result<bool> {
        let mut dated = self.path.clone().into_os_string();
        dated.push(format!(".{day}"));
        if fs::symlink_metadata(&dated).is_ok() {
            return Ok(false);
        }
        fs::rename(&self.path, dated)?;
        Ok(true)
    }

    fn stay(&mut self, now: &Zoned) {
        if let Some(open) = &mut self.open {
            open.day = Some(now.date());
        }
    }

    /// Deletes the oldest dated files; a failed deletion is repeated at the next midnight.
    fn prune(&self, keep: usize) {
        let (Some(folder), Some(name)) =
            (self.path.parent(), self.path.file_name().and_then(|name| name.to_str()))
        else {
            return;
        };
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut dated: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|other| {
                other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).is_some_and(is_dated)
            })
            .collect();
        dated.sort_unstable();
        dated.truncate(dated.len().saturating_sub(keep));
        for old in dated {
            let _ = fs::remove_file(folder.join(old));
        }
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("not open")) };
        if self.torn {
            open.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match open.file.write(rest) {
                Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn = rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl OpenLogFile {
    fn at(path: &Path, now: &Zoned) -> io::Result<Self> {
        osnl::state_dir::judge_link(path).map_err(io::Error::other)?;
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
        let is = file.metadata()?;
        let today = now.date();
        let changed = is.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        let day = match changed {
            Some(at) if is.len() > 0 => at.to_zoned(now.time_zone().clone()).date().min(today),
            Some(_) | None => today,
        };
        Ok(Self { is: identity(&is), day: is.is_file().then_some(day), file })
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_dated(suffix: &str) -> bool {
    let (date, extension) = suffix.split_once('.').map_or((suffix, None), |(date, more)| (date, Some(more)));
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_date = match date.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => digits(year, 4) && digits(month, 2) && digits(day, 2),
        _ => false,
    };
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_date && extension.is_none_or(word)
}

#[cfg(test)]
mod tests;
