use std::time::{Duration, Instant};

use super::pause_until;
use super::program::OracleDaemon;
use super::publisher::Confirmations;
use super::report::Break;
use super::target::{OracleTarget, SHARE};
use crate::{Broker, Reply};

pub(super) struct Saboteur<'a> {
    pub(super) end: Instant,
    pub(super) seed: u64,
    pub(super) confirmed: &'a Confirmations,
    pub(super) target: &'a OracleTarget,
    pub(super) refuses_some: bool,
}

impl Saboteur<'_> {
    pub(super) fn daemon(&self, at: usize, daemon: &OracleDaemon) -> Vec<Break> {
        let mut chance = fastrand::Rng::with_seed(self.seed.wrapping_add(at as u64 * 1000));
        let mut breaks = Vec::new();
        while self.next(millis(&mut chance, 300, 4_000)) {
            daemon.kill();
            pause_until(Instant::now() + millis(&mut chance, 0, 300));
            daemon.start_again();
            breaks.push(self.now(if at == 0 { "daemon killed" } else { "standby killed" }));
        }
        breaks
    }

    pub(super) fn broker(&self, broker: &Broker) -> Vec<Break> {
        let mut chance = fastrand::Rng::with_seed(self.seed.wrapping_add(1));
        let mut breaks = Vec::new();
        while self.next(millis(&mut chance, 3_000, 12_000)) {
            broker.kill9();
            broker.start_again();
            breaks.push(self.now("broker killed"));
        }
        breaks
    }

    pub(super) fn target(&self) -> Vec<Break> {
        let mut chance = fastrand::Rng::with_seed(self.seed.wrapping_add(2));
        let mut breaks = Vec::new();
        while self.next(millis(&mut chance, 200, 3_000)) {
            let lasts = millis(&mut chance, 50, 1_500);
            if chance.u8(..4) == 0 {
                self.target.stop();
                pause_until(Instant::now() + lasts);
                self.target.restart();
                breaks.push(self.now("target killed"));
            } else if self.refuses_some && chance.u8(..3) == 0 {
                let reply = Reply::Status([403, 404, 500][chance.usize(..3)]);
                self.target.refuse_some(Some((chance.u64(..SHARE), reply)));
                pause_until((Instant::now() + lasts * 3).min(self.end));
                self.target.refuse_some(None);
                breaks.push(self.now("some keys refused"));
            } else {
                self.target.fail_with(Some(fault(&mut chance)));
                pause_until(Instant::now() + lasts);
                self.target.fail_with(None);
                breaks.push(self.now("target failed"));
            }
        }
        breaks
    }

    pub(super) fn next(&self, pause: Duration) -> bool {
        let time = Instant::now() + pause;
        pause_until(time.min(self.end));
        time < self.end
    }

    fn now(&self, what: &'static str) -> Break {
        Break { what, whole: Instant::now(), confirmed: self.confirmed.latest() }
    }
}

fn fault(chance: &mut fastrand::Rng) -> Reply {
    match chance.u8(..9) {
        0 => Reply::Status(500),
        1 => Reply::Status(503),
        2 => Reply::Status(429),
        3 => Reply::Status(403),
        4 => Reply::Hang,
        5 => Reply::Reset,
        6 => Reply::Garbage,
        7 => Reply::CloseWithoutReply,
        _ => Reply::ShortBody,
    }
}

pub(super) fn millis(chance: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(chance.u64(from..to))
}
