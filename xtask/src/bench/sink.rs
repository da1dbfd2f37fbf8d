//! The fast target, as `osnl-bench sink` speaks of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::process::Process;

pub(super) struct Sink {
    process: Process,
    port: u16,
}

/// When the first and the last of some messages were there, in nanoseconds since the epoch of Unix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u128,
    pub(super) last: u128,
}

impl Span {
    pub(super) fn seconds(self) -> f64 {
        Duration::from_nanos(u64::try_from(self.last - self.first).unwrap_or(u64::MAX)).as_secs_f64()
    }

    /// Two times, as `osnl-bench` prints them.
    pub(super) fn parse(line: &str) -> Result<Self> {
        let times: Vec<u128> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match times[..] {
            [first, last] if first <= last => Ok(Self { first, last }),
            _ => bail!("no two times: {line}"),
        }
    }
}

impl Sink {
    pub(super) fn new(mut process: Process) -> Result<Self> {
        let port = process.line()?.parse().context("the port of the sink")?;
        Ok(Self { process, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn reset(&mut self) -> Result<()> {
        self.process.tell("reset")?;
        ensure!(self.process.line()? == "ok", "the sink did not forget");
        Ok(())
    }

    /// Each answer comes so much later from here on.
    pub(super) fn pause(&mut self, milliseconds: u64) -> Result<()> {
        self.process.tell(&format!("pause {milliseconds}"))?;
        ensure!(self.process.line()? == "ok", "the sink takes no pause");
        Ok(())
    }

    /// Requests about each `share`th instance get 503 from here on, and are not counted; 0: none do.
    pub(super) fn fail(&mut self, share: u64) -> Result<()> {
        self.process.tell(&format!("fail {share}"))?;
        ensure!(self.process.line()? == "ok", "the sink does not fail");
        Ok(())
    }

    /// Returns the number of requests that got that answer.
    pub(super) fn failed(&mut self) -> Result<u64> {
        self.process.tell("failed")?;
        self.process.line()?.parse().context("the answer of the sink")
    }

    /// As [`Sink::wait`], for a count that may not be reached: how many there were.
    pub(super) fn wait_up_to(&mut self, count: u64, seconds: u64) -> Result<(u64, Span)> {
        self.process.tell(&format!("wait {count} {seconds}"))?;
        let line = self.process.line()?;
        let (seen, times) = line.split_once(' ').context("the answer of the sink")?;
        Ok((seen.parse()?, Span::parse(times)?))
    }

    /// Waits for `count` requests since the last reset.
    pub(super) fn wait(&mut self, count: u64, seconds: u64) -> Result<Span> {
        let (seen, span) = self.wait_up_to(count, seconds)?;
        ensure!(seen >= count, "{seen} of {count} requests within {seconds} s");
        Ok(span)
    }

    /// Instances since the last reset, and requests out of order.
    pub(super) fn order(&mut self) -> Result<(u64, u64)> {
        self.process.tell("order")?;
        let line = self.process.line()?;
        let (keys, wrong) = line.split_once(' ').context("the answer of the sink")?;
        Ok((keys.parse()?, wrong.parse()?))
    }

    /// When the request about each message was there.
    pub(super) fn times(&mut self) -> Result<BTreeMap<u64, u128>> {
        self.process.tell("times")?;
        times(&self.process.line()?)
    }
}

/// `NUMBER:TIME …`
pub(super) fn times(line: &str) -> Result<BTreeMap<u64, u128>> {
    let pair = |word: &str| {
        let (number, time) = word.split_once(':')?;
        Some((number.parse().ok()?, time.parse().ok()?))
    };
    line.split_whitespace().map(|word| pair(word).with_context(|| format!("no time: {word}"))).collect()
}
