//! A command meets a running daemon, a daemon being killed, or the file of a stopped daemon; the promise
//! holds for any outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::breaking::{Saboteur, millis};
use super::program::{OracleDaemon, ProgramResult};
use super::{SOON, pause_until};
use crate::wait::reached;

#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) count: BTreeMap<&'static str, (u64, u64)>,
    pub(super) retried: BTreeSet<(usize, i64)>,
}

impl Operations {
    fn note(&mut self, what: &'static str, said: &ProgramResult) -> bool {
        let (accepted, refused) = self.count.entry(what).or_default();
        let is_accepted = said.status == Some(0);
        *(if is_accepted { accepted } else { refused }) += 1;
        is_accepted
    }
}

impl Saboteur<'_> {
    pub(super) fn operate(&self, daemons: &[OracleDaemon]) -> Operations {
        let mut chance = fastrand::Rng::with_seed(self.seed.wrapping_add(3));
        let mut done = Operations::default();
        let mut renamed = Instant::now();
        while self.next(millis(&mut chance, 100, 1_500)) {
            let at = chance.usize(..daemons.len());
            let daemon = &daemons[at];
            match chance.u8(..20) {
                0..=4 => {
                    daemon.configure(daemon.settings().others(&mut chance));
                    done.note("reload", &daemon.ask(&["reload"]));
                }
                5 if renamed.elapsed() > Duration::from_secs(5) => {
                    let is_full = chance.bool();
                    if is_full {
                        daemons.iter().for_each(|daemon| pause(daemon, &mut done));
                        pause_until(Instant::now() + millis(&mut chance, 500, 2_000));
                    }
                    rename(daemons, &mut done);
                    renamed = Instant::now();
                    if is_full {
                        pause_until(Instant::now() + millis(&mut chance, 0, 2_000));
                        daemons.iter().for_each(|daemon| resume(daemon, &mut done));
                    }
                }
                5..=7 => {
                    pause(daemon, &mut done);
                    pause_until(Instant::now() + millis(&mut chance, 200, 2_000));
                    resume(daemon, &mut done);
                }
                8..=12 => retry(at, daemon, &mut chance, &mut done),
                13 | 14 => discard("dead", "discard of dead letters", daemon, &mut chance, &mut done),
                15 => discard("ready,waiting", "discard of open ones", daemon, &mut chance, &mut done),
                16..=18 => {
                    done.note("release", &daemon.ask(&["deliveries", "release", "--all", "--yes"]));
                }
                _ => drop(done.note("status", &daemon.ask(&["status"]))),
            }
        }
        done
    }
}

pub(super) fn make_whole(daemons: &[OracleDaemon], done: &mut Operations) {
    for daemon in daemons {
        daemon.configure(daemon.settings().plain());
        reached(SOON, &mut || done.note("reload", &daemon.ask(&["reload"])));
        resume(daemon, done);
        done.note("release", &daemon.ask(&["deliveries", "release", "--all", "--yes"]));
    }
}

fn pause(daemon: &OracleDaemon, done: &mut Operations) {
    done.note("pause", &daemon.ask(&["actions", "pause", "roles"]));
}

fn resume(daemon: &OracleDaemon, done: &mut Operations) {
    reached(SOON, &mut || done.note("resume", &daemon.ask(&["actions", "resume", "roles"])));
}

/// Moves every daemon to another queue, one after the other. A daemon is not killed before its acceptance, but at any
/// moment afterwards.
fn rename(daemons: &[OracleDaemon], done: &mut Operations) {
    for daemon in daemons {
        let _spared = daemon.spare();
        daemon.supervise();
        let old = daemon.settings();
        reached(SOON, &mut || {
            daemon.configure(old.next_pool());
            let accepted = done.note("another queue", &daemon.ask(&["reload"]));
            if !accepted {
                daemon.configure(old.clone());
            }
            accepted
        });
    }
}

fn retry(at: usize, daemon: &OracleDaemon, chance: &mut fastrand::Rng, done: &mut Operations) {
    let dead = daemon.ask_json(&["deliveries", "list", "--state", "dead", "--limit", "100"]);
    let ids: Vec<String> = dead
        .iter()
        .flat_map(|list| list["deliveries"].as_array().into_iter().flatten())
        .filter_map(|delivery| delivery["id"].as_str().map(str::to_owned))
        .filter(|_| chance.u8(..4) == 0)
        .collect();
    if ids.is_empty() {
        return;
    }
    done.retried.extend(ids.iter().filter_map(|id| Some((at, number(id)?))));
    // An older delivery of a resource with a later finished delivery can only be retried with the flag.
    let flag = chance.bool().then_some("--out-of-order");
    let words = ["deliveries", "retry"].into_iter().chain(flag).chain(ids.iter().map(String::as_str));
    let words: Vec<&str> = words.collect();
    done.note("retry", &daemon.ask(&words));
}

fn discard(
    states: &str,
    what: &'static str,
    daemon: &OracleDaemon,
    chance: &mut fastrand::Rng,
    done: &mut Operations,
) {
    let resource = format!("00000000-0000-4000-8000-{:012x}", chance.u32(..50));
    let words = ["deliveries", "discard", "--yes", "--state", states, "--resource", &resource];
    done.note(what, &daemon.ask(&words));
}

fn number(id: &str) -> Option<i64> {
    let (event, place) = id.split_once('.')?;
    Some((event.parse::<i64>().ok()? << 16) | place.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_delivery_has_the_journals_number() {
        let check = |id: &str, expected: Option<i64>| assert_eq!(number(id), expected, "{id}");
        check("17.0", Some(17 << 16));
        check("17.3", Some((17 << 16) + 3));
        check("17", None);
        check("a.0", None);
    }
}
