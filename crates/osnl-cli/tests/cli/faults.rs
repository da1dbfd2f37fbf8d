//! Thirty faults, played against real parts, and all that `osnl check`, `check --connect`, `status`, and the log say of each.
//!
//! The picture is `snapshots/faults.txt`. A cell without a line must be listed in [`Fault::silent`] with the reason why the
//! command can't know of the fault; a cell that is listed there and has a line fails too. Ports, names, numbers of
//! attempts, and durations are replaced by words, since they differ each time. `OSNL_UPDATE_SNAPSHOTS=1` writes it anew.

mod stage;
mod table;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use osnl_testkit::Reply;

use self::stage::Stage;

/// The commands, in the order of the picture.
const COLUMNS: [&str; 4] = ["check", "check --connect", "status", "log"];

/// A fault, and how it is made.
struct Fault {
    area: &'static str,
    name: &'static str,
    /// Texts of the usual configuration, and those that stand there instead.
    edits: &'static [(&'static str, &'static str)],
    part: Part,
    /// Events that are published once the daemon listens.
    events: usize,
    /// Words that the status and the log have once the fault has shown; nothing where they can't know of it.
    shows: [&'static str; 2],
    /// The commands that can't know of it, and why.
    silent: &'static [(&'static str, &'static str)],
}

/// The real part that is not as it should be.
enum Part {
    /// All are: the configuration is the fault.
    AsUsual,
    /// The target answers so.
    Target(Reply),
    /// The queue is there, made by another program with other arguments.
    QueueOfOthers,
    /// Another daemon with a journal of its own reads the queue.
    SecondReader,
    /// Another daemon has the journal.
    SecondDaemon,
    /// Keystone or a service of the cloud fails; requests that begin so get this.
    Cloud(&'static str, Reply),
    /// The cloud is away.
    NoCloud,
}

#[test]
fn each_fault_is_named_with_its_reason_where_it_can_be_known() {
    let faults = table::all();
    assert_eq!(faults.len(), 30);
    let played: Vec<Mutex<String>> = faults.iter().map(|_| Mutex::default()).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < faults.len()) {
                    let said = Stage::new(&faults[n], n).play();
                    *played[n].lock().unwrap() = section(&faults[n], &said, &mut wrong.lock().unwrap());
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let sections: Vec<String> = played.into_iter().map(|section| section.into_inner().unwrap()).collect();
    crate::snapshot::is_as_kept("faults", &sections.join("\n"));
}

/// Warnings about the configuration that all faults share.
const OF_EACH_FAULT: [&str; 2] = [" declare: exchange neutron belongs to neutron", ": the login goes to "];

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
