//! `osnl queues`, `osnl check --connect`, and a daemon's `osnl status` on a real broker in each trouble of queues. The
//! test executes the command of each finding, and the finding ends.
//!
//! Prints the table for people: `cargo xtask test -p osnl-cli --test cli -- doctor:: --nocapture`.

mod operator;
mod stage;
mod troubles;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::stage::Stage;
use self::troubles::TROUBLES;

pub(crate) use self::operator::{Service, monitor, words};

struct Trouble {
    name: &'static str,
    options: &'static str,
    prepare: fn(&mut Stage),
    finding: (&'static str, &'static str, &'static str),
    /// A part of a line of `osnl check --connect`; empty if there is none.
    check: &'static str,
    /// A part of a line of attention; empty if no daemon takes part, or a running daemon does not see it.
    status: &'static str,
    mend: Mend,
}

enum Mend {
    Run(fn(&mut Stage)),
    Follow(fn(&mut Stage)),
}

/// Plays all, so that one that fails hides no other.
#[test]
#[expect(clippy::print_stdout, reason = "the table is a result for people, shown with --nocapture")]
fn each_trouble_is_found_and_its_command_ends_it() {
    let (next, played) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some((n, trouble)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, TROUBLES.get(n)?)))
                {
                    let row = catch_unwind(|| Stage::new(trouble, n).play(trouble));
                    played.lock().unwrap().push((n, row.map_err(|_| trouble.name)));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap();
    played.sort();
    println!("| trouble | osnl queues | check --connect | status | mends it | afterwards |");
    println!("| --- | --- | --- | --- | --- | --- |");
    played.iter().filter_map(|(_, row)| row.as_ref().ok()).for_each(|row| println!("{row}"));
    let failed: Vec<&str> = played.iter().filter_map(|(_, row)| row.as_ref().err().copied()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
