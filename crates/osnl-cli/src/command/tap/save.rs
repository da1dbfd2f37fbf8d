use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use osnl_transport::TapMessage;

use super::json;

pub(super) struct Save {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Save {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = opened.with_context(|| format!("--save {shown}"))?;
        let mode = file.metadata().with_context(|| format!("--save {shown}"))?.mode();
        if mode & 0o077 != 0 && file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            bail!(
                "--save {shown}: others may read it (mode {:04o}), and passwords and tokens are saved with the events; \
                 chmod 600 it, or name a new file",
                mode & 0o7777
            );
        }
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(64 * 1024, file) })
    }

    /// Appends a message; skips a message with a cut body.
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
