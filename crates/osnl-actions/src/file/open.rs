//! The open file: reopened after another program moved it, rotated when due, truncated after a
//! failed write.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::Fsync;
use super::rotation::{FileRotation, folder};

#[derive(Debug)]
pub(super) struct FileOutput {
    path: PathBuf,
    mode: u32,
    takes_pipes: bool,
    fsync: Fsync,
    rotation: FileRotation,
    open: Option<OpenFile>,
    synced: SystemTime,
    timed: bool,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    is: (u64, u64),
    regular: bool,
    length: u64,
    lines: SystemTime,
    /// Whether the folder needs a sync: a new file's name is on the disk only after that.
    new: bool,
    dirty: bool,
}

impl FileOutput {
    pub(super) fn at(path: &Path, mode: u32, fsync: Fsync, rotation: FileRotation, now: SystemTime) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, mode, takes_pipes: false, fsync, rotation, open: None, synced: now, timed: false }
    }

    pub(super) fn for_dump(path: &Path, now: SystemTime) -> Self {
        let rotation = FileRotation { size: None, interval: None, keep: 0 };
        Self { takes_pipes: true, ..Self::at(path, 0o600, Fsync::Never, rotation, now) }
    }

    pub(super) fn open(&mut self, now: SystemTime) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.opened(now)?);
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, lines: &[u8], now: SystemTime) -> io::Result<()> {
        let result = self.append_all(lines, now);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn append_all(&mut self, lines: &[u8], now: SystemTime) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            self.follow(line(rest), now)?;
            let Some(open) = &mut self.open else { return Err(io::Error::other("it is not open")) };
            let mut end = line(rest);
            while end < rest.len() && self.rotation.has_room(open.length + end as u64, line(&rest[end..])) {
                end += line(&rest[end..]);
            }
            open.write(&rest[..end], now)?;
            rest = &rest[end..];
        }
        let wanted = match self.fsync {
            Fsync::Each => true,
            Fsync::Interval(pause) => self.until_sync(pause, now).is_none(),
            Fsync::Never => false,
        };
        if wanted { self.sync(now) } else { Ok(()) }
    }

    pub(super) fn timer_due(&mut self, now: SystemTime) -> Option<Duration> {
        let Fsync::Interval(pause) = self.fsync else { return None };
        let due = self.until_sync(pause, now).filter(|_| !self.timed)?;
        self.timed = true;
        Some(due)
    }

    fn until_sync(&self, pause: Duration, now: SystemTime) -> Option<Duration> {
        let since = now.duration_since(self.synced).unwrap_or(pause);
        pause.checked_sub(since).filter(|due| !due.is_zero())
    }

    pub(super) fn timer_ended(&mut self, now: SystemTime) -> io::Result<()> {
        self.timed = false;
        self.sync(now)
    }

    pub(super) fn sync(&mut self, now: SystemTime) -> io::Result<()> {
        match &mut self.open {
            Some(open) if open.dirty => {
                self.synced = now;
                open.sync(folder(&self.path))
            }
            Some(_) | None => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn is_dirty(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.dirty)
    }

    fn follow(&mut self, more: usize, now: SystemTime) -> io::Result<()> {
        let there = fs::metadata(&self.path).ok();
        let same = |open: &OpenFile| there.as_ref().is_some_and(|there| identity(there) == open.is);
        if !self.open.as_ref().is_some_and(same) {
            self.leave()?;
            self.open = Some(self.opened(now)?);
        }
        let due = self
            .open
            .as_ref()
            .is_some_and(|open| open.regular && self.rotation.is_due(open.length, open.lines, more, now));
        if due {
            self.leave()?;
            self.rotation.move_away(&self.path, now)?;
            self.open = Some(self.opened(now)?);
        }
        Ok(())
    }

    fn opened(&self, now: SystemTime) -> io::Result<OpenFile> {
        OpenFile::at(&self.path, self.mode, self.takes_pipes, now)
    }

    fn leave(&mut self) -> io::Result<()> {
        match (self.open.take(), self.fsync) {
            (Some(mut open), Fsync::Each | Fsync::Interval(_)) if open.dirty => open.sync(folder(&self.path)),
            (_, Fsync::Each | Fsync::Interval(_) | Fsync::Never) => Ok(()),
        }
    }
}

impl OpenFile {
    fn at(path: &Path, mode: u32, takes_pipes: bool, now: SystemTime) -> io::Result<Self> {
        let before = fs::metadata(path).ok();
        if let Some(kind) = before.as_ref().map(Metadata::file_type).filter(|kind| !kind.is_file())
            && !kind.is_char_device()
            && !(takes_pipes && kind.is_fifo())
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
        }
        let mut how = OpenOptions::new();
        how.create(true).append(true).mode(mode);
        // A pipe without a reader is refused: waiting for a reader would stop the daemon before its first event.
        let file = how.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        let found = file.metadata()?;
        if before.is_none() && found.mode() & 0o777 != mode {
            // The umask has taken some of it. A file system without modes refuses.
            let _ = file.set_permissions(Permissions::from_mode(mode));
        }
        let lines = if found.len() > 0 { found.modified().unwrap_or(now) } else { now };
        Ok(Self {
            is: identity(&found),
            regular: found.is_file(),
            length: found.len(),
            lines,
            new: before.is_none(),
            dirty: false,
            file,
        })
    }

    fn write(&mut self, lines: &[u8], now: SystemTime) -> io::Result<()> {
        let mut rest = lines;
        // Another program may append to the same file.
        let begin = if self.regular { self.file.metadata()?.len() } else { 0 };
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return self.cut(begin, lines.len() - rest.len(), io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.cut(begin, lines.len() - rest.len(), error),
            }
        }
        self.length = begin + lines.len() as u64;
        (self.lines, self.dirty) = (now, true);
        Ok(())
    }

    /// Removes a partial write, if it is still the end of the file.
    fn cut(&self, begin: u64, written: usize, error: io::Error) -> io::Result<()> {
        let ours = written > 0 && self.file.metadata()?.len() == begin + written as u64;
        if ours && self.regular {
            self.file.set_len(begin)?;
        }
        Err(error)
    }

    fn sync(&mut self, folder: &Path) -> io::Result<()> {
        // A retry of a failed sync is pointless: the operating system has dropped the pages.
        self.dirty = false;
        if self.regular {
            self.file.sync_data()?;
            if std::mem::take(&mut self.new) {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }
}

fn line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
