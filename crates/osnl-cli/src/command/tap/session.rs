//! Retries an unreachable broker after one second, then at growing intervals up to ten seconds; a
//! refusing broker up to thirty. Only a refusal before the first open tap ends the run.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use osnl_transport::{Tap, TapBound, TapOpening, TapOptions, Transport, TransportError};
use tokio::sync::mpsc::Sender;
use tokio::time::MissedTickBehavior;

use super::refusal;
use super::voice::TapVoice;
use super::writer::Arrivals;

const BATCH: usize = 256;
const ROUND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterClock {
    Told,
    Untold,
}

#[derive(Debug, Default)]
pub(super) struct ConnectionCourse {
    pub(super) opened: bool,
    pub(super) dropped: u64,
    pub(super) gaps: u32,
    pub(super) gone: Duration,
    lost_at: Option<Instant>,
}

/// Taps until this future is dropped, the receiver is closed, or the broker refuses access at the
/// start.
pub(super) async fn run(
    transport: &dyn Transport,
    options: &TapOptions,
    (chosen, clock): (bool, WriterClock),
    (sender, voice): (&Sender<Arrivals>, &TapVoice),
    course: &mut ConnectionCourse,
) -> Result<(), TransportError> {
    let mut failures = 0u32;
    loop {
        match transport.tap(options).await {
            Ok(tap) => {
                failures = 0;
                listening(&*tap, course, chosen, voice);
                let refused = tap.tapped().refused.iter().map(|(exchange, _)| exchange.clone()).collect();
                let mut session = TapSession {
                    tap,
                    options,
                    chosen,
                    clock,
                    voice,
                    turn: 0,
                    bound_turn: 0,
                    refused,
                    full: false,
                };
                match session.run(sender, course).await {
                    Ok(()) => {
                        session.count_dropped(course).await;
                        session.tap.close().await;
                        return Ok(());
                    }
                    Err(error) => {
                        course.lost_at = Some(Instant::now());
                        voice.standing().connected = false;
                        voice.say(&format!("{error}; connecting again"));
                    }
                }
            }
            Err(error) => {
                if !course.opened && (error.is_refused_access() || !error.is_recoverable()) {
                    return Err(error);
                }
                let longest = if error.is_refused_access() { 30 } else { 10 };
                let pause = ROUND.saturating_mul(2u32.saturating_pow(failures)).min(ROUND * longest);
                failures = failures.saturating_add(1);
                let what = if error.is_refused_access() { "refused" } else { "cannot connect" };
                voice.say(&format!("{what}: {error}; next attempt in {} s", pause.as_secs()));
                tokio::select! {
                    () = sender.closed() => return Ok(()),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

fn listening(tap: &dyn Tap, course: &mut ConnectionCourse, chosen: bool, voice: &TapVoice) {
    let found = tap.tapped();
    let say = |text: &str| voice.say(text);
    let (host, vhost) = (&found.host, &found.virtual_host);
    match course.lost_at.take() {
        None if found.has_topics => {
            say(&format!("listening at {host}, topics: {}", list(&found.bound, "none yet")));
        }
        None => say(&format!(
            "listening at {host}, virtual host \"{vhost}\", exchanges: {}",
            list(&found.bound, "none yet")
        )),
        Some(at) => {
            let gone = at.elapsed();
            course.gaps += 1;
            course.gone += gone;
            say(&format!(
                "listening again at {host} after {:.1} s; what was published meanwhile was not seen",
                gone.as_secs_f64()
            ));
        }
    }
    if !course.opened && !chosen && found.has_topics && found.bound.is_empty() {
        say("no topic matches: name topics with --topic and --priority; osnl queues lists what it finds");
    }
    found.remarks.iter().filter(|_| !course.opened).for_each(|remark| say(remark));
    if !course.opened && chosen && found.has_topics {
        say(
            "these are the topics known to osnl; others may exist: name them with --topic, or --key '#' for all",
        );
    } else if !course.opened && chosen {
        say(
            "these are the exchanges of the services known to osnl; others may exist: name them with --exchange",
        );
    }
    if !found.missing.is_empty() && !course.opened && found.has_topics {
        say(&format!(
            "no topic yet for {}; a topic is made by hand, or by its first message; tap keeps looking",
            list(&found.missing, "")
        ));
    } else if !found.missing.is_empty() && (!course.opened || !chosen) {
        let looks = if chosen { "looks for one of them each second" } else { "looks again each second" };
        say(&format!(
            "not there yet in virtual host \"{vhost}\": {}; a service makes its exchange when it first \
             publishes; tap {looks}",
            list(&found.missing, "")
        ));
    }
    say_refused(found, &found.refused, !course.opened, voice);
    if !course.opened && !found.counts_dropped {
        say("this user may not write to the default exchange: what the queue's limit drops is not counted");
    }
    course.opened = true;
    let mut standing = voice.standing();
    standing.connected = true;
    standing.host.clone_from(host);
    standing.virtual_host.clone_from(vhost);
    standing.bound.clone_from(&found.bound);
    standing.has_topics = found.has_topics;
    standing.chosen = chosen;
    standing.gaps = course.gaps;
}

fn say_refused(found: &TapOpening, refused: &[(String, String)], has_command: bool, voice: &TapVoice) {
    for (exchange, reason) in refused {
        voice.say(&format!("exchange {exchange}: refused: {reason}"));
    }
    let Some((_, reason)) = refused.first().filter(|_| has_command) else { return };
    let others = found.refused.iter().map(|(exchange, _)| exchange);
    let others = others.filter(|exchange| !found.bound.contains(exchange));
    let all: Vec<&str> = found.bound.iter().chain(&found.missing).chain(others).map(String::as_str).collect();
    if let Some(command) = refusal::exchange_remedy(reason, (&found.user, &found.virtual_host), &all) {
        voice.say(&format!("-> {command}"));
    }
}

fn list(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

struct TapSession<'a> {
    tap: Box<dyn Tap>,
    options: &'a TapOptions,
    chosen: bool,
    clock: WriterClock,
    voice: &'a TapVoice,
    turn: usize,
    bound_turn: usize,
    /// Exchanges that the broker lets the tap bind in part.
    refused: Vec<String>,
    full: bool,
}

impl TapSession<'_> {
    async fn run(
        &mut self,
        sender: &Sender<Arrivals>,
        course: &mut ConnectionCourse,
    ) -> Result<(), TransportError> {
        let mut missing = self.tap.tapped().missing.clone();
        let mut second = tokio::time::interval(ROUND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.reset();
        let mut messages = Vec::with_capacity(BATCH);
        self.send_tick(sender);
        loop {
            tokio::select! {
                biased;
                _ = second.tick() => {
                    self.tap.acknowledge().await?;
                    self.find_missing(&mut missing).await?;
                    self.find_gone(&mut missing).await?;
                    self.report_dropped(course).await?;
                    self.send_tick(sender);
                }
                place = sender.reserve(), if !messages.is_empty() => {
                    let Ok(place) = place else { return Ok(()) };
                    let messages = std::mem::replace(&mut messages, Vec::with_capacity(BATCH));
                    place.send(Arrivals { messages, at: Timestamp::now() });
                }
                () = sender.closed() => return Ok(()),
                polled = self.tap.poll(&mut messages, BATCH), if messages.is_empty() => polled?,
            }
        }
    }

    fn send_tick(&self, sender: &Sender<Arrivals>) {
        match self.clock {
            // A full channel needs no tick: its batches carry the time too.
            WriterClock::Told => {
                drop(sender.try_send(Arrivals { messages: Vec::new(), at: Timestamp::now() }));
            }
            WriterClock::Untold => {}
        }
    }

    /// Looks for missing exchanges: for all named ones, but for one default per second in turn.
    /// Each look at a missing exchange leaves a line in the broker's log.
    async fn find_missing(&mut self, missing: &mut Vec<String>) -> Result<(), TransportError> {
        if missing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<String> = if self.chosen {
            self.turn = (self.turn + 1) % missing.len();
            vec![missing[self.turn].clone()]
        } else {
            missing.clone()
        };
        for exchange in wanted {
            let found = self.tap.find(&exchange).await?;
            if found == TapBound::default() {
                continue;
            }
            if found.is_bound {
                let kind = if self.tap.tapped().has_topics { "topic" } else { "exchange" };
                self.voice.say(&format!("{kind} {exchange} exists now: bound"));
                self.voice.standing().bound.push(exchange.clone());
            }
            missing.retain(|other| *other != exchange);
            let refused: Vec<(String, String)> =
                found.refusal.map(|reason| (exchange, reason)).into_iter().collect();
            say_refused(self.tap.tapped(), &refused, true, self.voice);
        }
        Ok(())
    }

    /// Looks at one bound exchange per second, in turn: one that was deleted and made again has lost the bindings, and
    /// gets them by the look. The broker logs each refusal, so an exchange with one is not looked at again.
    async fn find_gone(&mut self, missing: &mut Vec<String>) -> Result<(), TransportError> {
        let mut bound = self.voice.standing().bound.clone();
        bound.retain(|exchange| !self.refused.contains(exchange));
        if bound.is_empty() || self.tap.tapped().has_topics {
            return Ok(());
        }
        self.bound_turn = (self.bound_turn + 1) % bound.len();
        let exchange = bound.swap_remove(self.bound_turn);
        let found = self.tap.find(&exchange).await?;
        if found.refusal.is_some() {
            self.refused.push(exchange);
        } else if !found.is_bound {
            self.voice.say(&format!("exchange {exchange} does not exist any more; tap looks for it again"));
            self.voice.standing().bound.retain(|other| *other != exchange);
            missing.push(exchange);
        }
        Ok(())
    }

    async fn report_dropped(&mut self, course: &mut ConnectionCourse) -> Result<(), TransportError> {
        let dropped = self.tap.dropped().await?.unwrap_or(0);
        course.dropped += dropped;
        self.voice.standing().dropped = course.dropped;
        if dropped > 0 && !self.full {
            self.voice.say(&format!(
                "messages arrive faster than they are read: at its limit ({} messages, {} MiB, {} s) the queue drops the oldest",
                self.options.max_messages,
                self.options.max_bytes >> 20,
                self.options.ttl.as_secs()
            ));
        }
        if dropped == 0 && self.full {
            self.voice.say(&format!("reading has caught up; dropped so far: {}", course.dropped));
        }
        self.full = dropped > 0;
        Ok(())
    }

    pub(super) async fn count_dropped(&mut self, course: &mut ConnectionCourse) {
        if let Ok(Some(dropped)) = self.tap.dropped().await {
            course.dropped += dropped;
        }
    }
}
