use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use osnl::journal::sqlite::upkeep;
use osnl::native::{JournalConf, Native};
use osnl::state_dir;
use osnl_transport::TapMessage;

use super::json;

pub(super) struct Save {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Save {
    pub(super) fn open(path: &Path, conf: Option<&Native>) -> anyhow::Result<Self> {
        if let Some(JournalConf::Sqlite(journal)) = conf.map(|conf| &conf.journal) {
            upkeep::is_elsewhere(&journal.path, path).map_err(|why| anyhow!("--save: {why}"))?;
        }
        let shown = path.display();
        // A pipe or a terminal, such as /dev/stdout leads to, keeps nothing that others may read later.
        let is_stream = |found: Metadata| found.file_type().is_fifo() || found.file_type().is_char_device();
        let opened = if std::fs::metadata(path).is_ok_and(is_stream) {
            File::options().append(true).open(path)
        } else {
            state_dir::no_link(path).map_err(|why| anyhow!("--save: {why}"))?;
            state_dir::private().append(true).create(true).open(path)
        };
        let file = opened.with_context(|| format!("--save {shown}"))?;
        let found = file.metadata().with_context(|| format!("--save {shown}"))?;
        if !is_own(&found, rustix::process::geteuid().as_raw()) {
            bail!(
                "--save {shown}: it belongs to user {}, and passwords and tokens are saved with the events; name a new file",
                found.uid()
            );
        }
        let mode = found.mode();
        if mode & 0o077 != 0 && found.is_file() {
            bail!(
                "--save {shown}: others may read it (mode {:04o}), and passwords and tokens are saved with the events; \
                 chmod 600 it, or name a new file",
                mode & 0o7777
            );
        }
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(64 * 1024, file) })
    }

    pub(super) fn write(&mut self, message: &TapMessage, received: Timestamp) -> io::Result<()> {
        if message.cut.is_some() {
            return Ok(());
        }
        let line = json::saved(message, received);
        self.file.write_all(line.as_bytes())?;
        self.file.write_all(b"\n")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the file is private: the user's own, or a device such as `/dev/null`.
fn is_own(found: &Metadata, user: u32) -> bool {
    found.uid() == user || found.uid() == 0 && found.file_type().is_char_device()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_link_nor_another_user_s_file_gets_the_events() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["own", "link"].map(|name| folder.path().join(name));
        Save::open(&file, None).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let why = Save::open(&link, None).map(|_| ()).unwrap_err().to_string();
        assert!(why.contains("is a symbolic link, which is not followed"), "{why}");
        let own = std::fs::metadata(&file).unwrap();
        assert!(is_own(&own, own.uid()) && !is_own(&own, own.uid() + 1));
        assert!(is_own(&std::fs::metadata("/dev/null").unwrap(), own.uid() + 1));
    }
}
