use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::SOON;
use crate::process::{ChildGroup, Guard};
use crate::wait::reached;

const SCRIPT: &str = include_str!("../../python/oracle_publisher.py");

type Numbers = Vec<(u64, Instant)>;

pub(super) struct Confirmations {
    process: Mutex<ChildGroup>,
    numbers: Arc<Mutex<Numbers>>,
    reader: JoinHandle<()>,
    _guard: Guard,
}

impl Confirmations {
    /// With `others`, bursts of events about so many further resources come now and then.
    pub(super) fn start(ports: &[u16], vhost: &str, [rate, keys, seed]: [u64; 3], others: u64) -> Self {
        let mut command = crate::peer::python_program("python");
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        command.args(["-c", SCRIPT, &ports.join(","), vhost]);
        command.args([rate, keys, seed, others].map(|number| number.to_string()));
        let mut process = ChildGroup::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let guard = Guard::over(&[process.id()], None);
        let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let numbers: Arc<Mutex<Numbers>> = Arc::default();
        let gathered = numbers.clone();
        let reader = std::thread::spawn(move || {
            for number in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
                gathered.lock().unwrap().push((number, Instant::now()));
            }
        });
        Self { process: Mutex::new(process), numbers, reader, _guard: guard }
    }

    pub(super) fn latest(&self) -> u64 {
        self.numbers.lock().unwrap().last().map_or(0, |(number, _)| *number)
    }

    pub(super) fn stop(self) -> Numbers {
        let mut process = self.process.into_inner().unwrap();
        drop(process.child().stdin.take());
        let ended = reached(SOON, &mut || !process.is_running());
        assert!(ended, "the publisher does not end");
        self.reader.join().unwrap();
        let numbers = std::mem::take(&mut *self.numbers.lock().unwrap());
        assert!(!numbers.is_empty(), "nothing was ever confirmed");
        numbers
    }
}
