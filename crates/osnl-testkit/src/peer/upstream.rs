use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

#[derive(Debug)]
pub struct Upstream {
    process: ChildGroup,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    _guard: Guard,
    _home: TempDir,
}

impl Upstream {
    #[must_use]
    pub fn start(configuration: &Path) -> Self {
        // The home is empty, because k2hr3-osnl would read ~/k2hr3-osnl.conf.d.
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

    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn wait_for(&self, text: &str, deadline: Duration) {
        let found = reached(deadline, &mut || self.stderr.lock().unwrap().contains(text));
        assert!(found, "k2hr3-osnl did not write {text:?} within {deadline:?}:\n{}", self.stderr());
    }

    /// Sends a signal, by its name without `SIG`: `INT` stops k2hr3-osnl in good order, `TERM` kills it.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

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
