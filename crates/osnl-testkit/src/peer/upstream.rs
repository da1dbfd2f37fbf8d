//! The program that osnl replaces, k2hr3-osnl 1.0.8, as the reference to compare with.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

/// A running `k2hr3-osnl -c FILE`. Killed when dropped.
#[derive(Debug)]
pub struct Upstream {
    process: ChildGroup,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    _guard: Guard,
    _home: TempDir,
}

impl Upstream {
    /// Starts it on a configuration file. It logs `Starting` when it is connected.
    ///
    /// # Panics
    /// When the tests were not started by `cargo xtask test`.
    #[must_use]
    pub fn start(configuration: &Path) -> Self {
        // An empty home: it would read ~/k2hr3-osnl.conf.d.
        let home = tempfile::tempdir().unwrap();
        let mut command = super::python_program("k2hr3-osnl");
        command.arg("-c").arg(configuration).env("HOME", home.path()).current_dir(home.path());
        let mut process =
            ChildGroup::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let guard = Guard::over(&[process.id()], None);
        let stderr = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(process.child().stderr.take().unwrap()).lines();
        let sink = Arc::clone(&stderr);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut text = sink.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self { process, stderr, reader: Some(reader), _guard: guard, _home: home }
    }

    /// Returns its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until standard error holds `text`.
    ///
    /// # Panics
    /// When it does not by `deadline` from now; the message has what was written.
    #[track_caller]
    pub fn wait_for(&self, text: &str, deadline: Duration) {
        let found = reached(deadline, &mut || self.stderr.lock().unwrap().contains(text));
        assert!(found, "k2hr3-osnl did not write {text:?} within {deadline:?}:\n{}", self.stderr());
    }

    /// Sends a signal, by its name without `SIG`: `INT` stops it in good order, `TERM` kills it.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end and gives its status; standard error is complete then.
    ///
    /// # Panics
    /// When it has not ended by `deadline` from now.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = reached(deadline, &mut || !self.process.is_running());
        assert!(ended, "k2hr3-osnl did not end within {deadline:?}:\n{}", self.stderr());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.process.child().wait().unwrap()
    }
}
