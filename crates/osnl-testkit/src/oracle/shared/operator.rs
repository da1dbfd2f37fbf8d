use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::NAMES;
use crate::oracle::breaking::millis;
use crate::oracle::pause_until;

/// More than any command may take: its own limit is 5 s, and the daemons' for an answer 8 s.
const LONGEST: Duration = Duration::from_secs(20);
const STATUSES: [i32; 3] = [0, 1, 69];
const RESUME: &[&str] = &["actions", "resume", "hook"];
const PAUSE: &[&str] = &["actions", "pause", "hook"];
const COMMANDS: [&[&str]; 7] = [
    PAUSE,
    &["deliveries", "retry", "--action", "hook", "--state", "dead"],
    &["deliveries", "retry", "--action", "hook", "--state", "dead", "--out-of-order"],
    &["deliveries", "list"],
    &["status"],
    &["reload"],
    &["explain", "--counts"],
];

#[derive(Debug, Default)]
pub(super) struct CommandLog {
    pub(super) commands: BTreeMap<String, [u64; 2]>,
    pub(super) wrong: Vec<String>,
}

pub(super) struct Operator {
    over: Arc<AtomicBool>,
    thread: JoinHandle<CommandLog>,
    osnl: PathBuf,
    folder: PathBuf,
}

impl Operator {
    pub(super) fn start(osnl: &Path, folder: &Path, seed: u64) -> Self {
        let over: Arc<AtomicBool> = Arc::default();
        let (osnl, folder, is_over) = (osnl.to_owned(), folder.to_owned(), over.clone());
        let (program, home) = (osnl.clone(), folder.clone());
        let thread = std::thread::spawn(move || {
            let mut chance = fastrand::Rng::with_seed(seed.wrapping_add(2));
            let mut done = CommandLog::default();
            while !is_over.load(Ordering::Relaxed) {
                let command = COMMANDS[chance.usize(..COMMANDS.len())];
                let member = NAMES[chance.usize(..NAMES.len())];
                done.run(&program, &home.join(member), command);
                pause_until(Instant::now() + millis(&mut chance, 100, 2_000));
                if command == PAUSE {
                    NAMES.iter().any(|name| done.run(&program, &home.join(name), RESUME));
                }
            }
            done
        });
        Self { over, thread, osnl, folder }
    }

    pub(super) fn stop(self) -> CommandLog {
        self.over.store(true, Ordering::Relaxed);
        let mut done = self.thread.join().expect("the operator goes on to the end");
        let end = Instant::now() + 3 * LONGEST;
        while !NAMES.iter().any(|name| done.run(&self.osnl, &self.folder.join(name), RESUME)) {
            if Instant::now() > end {
                done.wrong.push("no daemon resumes the action after the faults".to_owned());
                break;
            }
        }
        done
    }
}

impl CommandLog {
    fn run(&mut self, osnl: &Path, home: &Path, words: &[&str]) -> bool {
        let mut command = Command::new(osnl);
        command.env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
        let began = Instant::now();
        let output = command.args(words).args(["-c", "osnl.conf"]).output().unwrap();
        let took = began.elapsed();
        let name = words.join(" ");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let is_done = output.status.success();
        self.commands.entry(name.clone()).or_default()[usize::from(!is_done)] += 1;
        let is_known = output.status.code().is_some_and(|code| STATUSES.contains(&code));
        if !is_known || said.contains("panicked") || took > LONGEST {
            self.wrong.push(format!("{name}: {} after {took:.1?}: {said}", output.status));
        }
        is_done
    }
}
