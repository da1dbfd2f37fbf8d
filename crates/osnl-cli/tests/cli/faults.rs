//! Thirty faults on real parts, with all output of `osnl check`, `check --connect`, `status`, and
//! the log about each.
//!
//! The picture is `snapshots/faults.txt`. A cell without a line must be in [`Fault::silent`] with the reason why the
//! command cannot know of the fault; a listed cell with a line fails too. `OSNL_UPDATE_SNAPSHOTS=1` updates the
//! picture.

mod stage;
mod table;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use osnl_testkit::Reply;

use self::stage::Stage;
use crate::snapshot;

const COLUMNS: [&str; 4] = ["check", "check --connect", "status", "log"];

struct Fault {
    area: &'static str,
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    part: Part,
    events: usize,
    /// Words of status and log once the fault shows; empty if a command cannot know.
    shows: [&'static str; 2],
    silent: &'static [(&'static str, &'static str)],
}

enum Part {
    AsUsual,
    Target(Reply),
    QueueOfOthers,
    SecondReader,
    SecondDaemon,
    /// Keystone or a service of the cloud fails; requests with this beginning get this answer.
    Cloud(&'static str, Reply),
    NoCloud,
}

#[test]
fn each_fault_is_named_with_its_reason_where_it_can_be_known() {
    let faults = table::all();
    assert_eq!(faults.len(), 30);
    let played: Vec<Mutex<String>> = faults.iter().map(|_| Mutex::default()).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let kept = snapshot::kept("faults") + "\n";
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < faults.len()) {
                    let said = Stage::new(&faults[n], n).play(|said| {
                        let section = section(&faults[n], said, &mut Vec::new());
                        snapshot::is_updated() || kept.contains(&(section + "\n"))
                    });
                    *played[n].lock().unwrap() = section(&faults[n], &said, &mut wrong.lock().unwrap());
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let sections: Vec<String> = played.into_iter().map(|section| section.into_inner().unwrap()).collect();
    snapshot::is_as_kept("faults", &sections.join("\n"));
}

const OF_EACH_FAULT: [&str; 4] = [
    " declare: exchange neutron belongs to neutron",
    ": the login goes to ",
    "] exchange neutron: it exists, and no queue <topic>.<priority> does",
    "] queue notifications.info: ",
];

fn section(fault: &Fault, said: &[Vec<String>; 4], wrong: &mut Vec<String>) -> String {
    let mut text = format!("== {}: {}\n", fault.area, fault.name);
    for (column, lines) in COLUMNS.iter().zip(said) {
        let lines: Vec<&String> =
            lines.iter().filter(|line| !OF_EACH_FAULT.iter().any(|words| line.contains(words))).collect();
        let silent = fault.silent.iter().find(|(of, _)| of == column);
        match (silent, &lines[..]) {
            (Some((_, why)), []) => writeln!(text, "{column}: – ({why})").unwrap(),
            (None, [_, ..]) => lines.iter().for_each(|line| writeln!(text, "{column}: {line}").unwrap()),
            (Some(_), _) => wrong.push(format!("{}: {column} knows of it: {lines:#?}", fault.name)),
            (None, []) => wrong.push(format!("{}: {column} says nothing of it: {said:#?}", fault.name)),
        }
    }
    text
}
