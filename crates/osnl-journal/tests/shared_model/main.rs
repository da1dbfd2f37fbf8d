//! The rules of a shared journal, explored exhaustively: leases, epochs, appends, ends, hand-over.
//!
//! Two daemons, one database, one queue, and one lane take every order of small steps and faults. With the
//! rules of the design every state keeps each promise. Without any one of the rules the model finds a story
//! that breaks a promise.
//!
//! The gate explores one fault at a time. `OSNL_MODEL=whole cargo test --release -p osnl-journal --test
//! shared_model` explores pairs of faults and rows of three messages, with about 8 GB of memory.

#![expect(clippy::print_stdout, reason = "the story behind a broken promise, and the number of states")]

mod database;
mod explorer;
mod setting;
mod world;

use self::explorer::{Exploration, NOTHING_WAITS_FOR_EVER, explore};
use self::setting::{Database, Faults, Rules, Setting};

const NO_FAULT: Faults = Faults { expiries: 0, crashes: 0, unknown_commits: 0, reader_changes: 0 };
const EXPIRY: Faults = Faults { expiries: 1, ..NO_FAULT };
const CRASH: Faults = Faults { crashes: 1, ..NO_FAULT };
const UNKNOWN_COMMIT: Faults = Faults { unknown_commits: 1, ..NO_FAULT };
const READER_CHANGE: Faults = Faults { reader_changes: 1, ..NO_FAULT };

const WITH_AND_WITHOUT_ID: &[bool] = &[true, false];

const BOTH: [Database; 2] = [Database::Postgres, Database::Galera];

fn explored(
    rules: Rules,
    database: Database,
    messages: &[bool],
    faults: Faults,
) -> Result<usize, &'static str> {
    let setting = Setting { rules, database, messages: messages.to_vec(), faults };
    let first = setting.first();
    match explore(&setting, first) {
        Exploration::Kept { states } => Ok(states),
        Exploration::Broken { promise, way } => {
            println!("{database:?}, {rules:?}, {faults:?}: {promise}: {way:#?}");
            Err(promise)
        }
    }
}

fn whole() -> bool {
    std::env::var_os("OSNL_MODEL").is_some_and(|size| size == "whole")
}

#[test]
fn the_rules_keep_each_promise_whatever_fails() {
    let one_at_a_time: [(&[bool], Faults); 4] = [
        (WITH_AND_WITHOUT_ID, EXPIRY),
        (WITH_AND_WITHOUT_ID, UNKNOWN_COMMIT),
        (&[false], CRASH),
        (&[false], READER_CHANGE),
    ];
    let pairs: [(&[bool], Faults); 7] = [
        (WITH_AND_WITHOUT_ID, Faults { expiries: 2, ..NO_FAULT }),
        (WITH_AND_WITHOUT_ID, Faults { expiries: 1, ..UNKNOWN_COMMIT }),
        (WITH_AND_WITHOUT_ID, CRASH),
        (WITH_AND_WITHOUT_ID, READER_CHANGE),
        (WITH_AND_WITHOUT_ID, Faults { unknown_commits: 1, ..READER_CHANGE }),
        (&[true, false, true], EXPIRY),
        (&[true, false, true], UNKNOWN_COMMIT),
    ];
    let settings = if whole() { [&one_at_a_time[..], &pairs].concat() } else { one_at_a_time.to_vec() };
    for database in BOTH {
        for (messages, faults) in &settings {
            let states = explored(Rules::DESIGN, database, messages, *faults);
            println!("{database:?}, {} messages, {faults:?}: {states:?} states", messages.len());
            assert!(states.is_ok_and(|states| states > 1000), "{database:?} {faults:?}");
        }
    }
}

#[test]
fn an_owner_that_only_reads_its_lease_leaves_deliveries_behind() {
    let rules = Rules { owners_write_the_lease: false, ..Rules::DESIGN };
    for database in BOTH {
        assert_eq!(explored(rules, database, WITH_AND_WITHOUT_ID, EXPIRY), Err(NOTHING_WAITS_FOR_EVER));
    }
}

#[test]
fn an_append_that_decides_what_is_ready_leaves_deliveries_behind() {
    let rules = Rules { appends_only_insert: false, ..Rules::DESIGN };
    for database in BOTH {
        assert_eq!(explored(rules, database, WITH_AND_WITHOUT_ID, NO_FAULT), Err(NOTHING_WAITS_FOR_EVER));
    }
}

#[test]
fn a_reader_that_does_not_write_its_epoch_appends_behind_its_successor() {
    let rules = Rules { readers_write_their_epoch: false, ..Rules::DESIGN };
    for database in BOTH {
        let promise = explored(rules, database, WITH_AND_WITHOUT_ID, READER_CHANGE);
        assert_eq!(promise, Err("nothing arrives before what has arrived"));
    }
}

#[test]
fn a_take_over_by_epoch_alone_overruns_a_renewal_unless_it_is_certified() {
    let rules = Rules { take_over_names_the_beat: false, ..Rules::DESIGN };
    let promise = explored(rules, Database::Postgres, WITH_AND_WITHOUT_ID, EXPIRY);
    assert_eq!(promise, Err("at most one daemon has a lease that holds"));
    assert!(explored(rules, Database::Galera, WITH_AND_WITHOUT_ID, EXPIRY).is_ok());
}

#[test]
fn a_lane_read_on_a_lagging_node_before_the_take_over_repeats_what_has_ended() {
    let rules = Rules { owners_read_after_their_take_over: false, ..Rules::DESIGN };
    for database in BOTH {
        let promise = explored(rules, database, WITH_AND_WITHOUT_ID, EXPIRY);
        assert_eq!(promise, Err("a target that refuses lower fences is told in the order of the queue"));
    }
}

#[test]
fn an_unknown_commit_that_is_only_looked_up_comes_twice() {
    let rules = Rules { unknown_ends_are_repeated_under_their_number: false, ..Rules::DESIGN };
    for database in BOTH {
        let promise = explored(rules, database, WITH_AND_WITHOUT_ID, UNKNOWN_COMMIT);
        assert_eq!(promise, Err("nothing arrives before what has arrived"));
    }
}

#[test]
fn a_database_that_loses_its_latest_commit_has_two_owners() {
    let rules = Rules { commits_are_durable: false, ..Rules::DESIGN };
    for database in BOTH {
        let promise = explored(rules, database, WITH_AND_WITHOUT_ID, UNKNOWN_COMMIT);
        assert_eq!(promise, Err("at most one daemon has a lease that holds"));
    }
}
