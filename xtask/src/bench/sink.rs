use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::process::Process;

pub(super) struct Sink {
    process: Process,
    port: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u128,
    pub(super) last: u128,
}

impl Span {
    pub(super) fn seconds(self) -> f64 {
        Duration::from_nanos(u64::try_from(self.last - self.first).unwrap_or(u64::MAX)).as_secs_f64()
    }

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
        self.process.send("reset")?;
        ensure!(self.process.line()? == "ok", "the sink did not forget");
        Ok(())
    }

    pub(super) fn pause(&mut self, milliseconds: u64) -> Result<()> {
        self.process.send(&format!("pause {milliseconds}"))?;
        ensure!(self.process.line()? == "ok", "the sink takes no pause");
        Ok(())
    }

    pub(super) fn fail(&mut self, share: u64) -> Result<()> {
        self.process.send(&format!("fail {share}"))?;
        ensure!(self.process.line()? == "ok", "the sink does not fail");
        Ok(())
    }

    pub(super) fn failed(&mut self) -> Result<u64> {
        self.process.send("failed")?;
        self.process.line()?.parse().context("the answer of the sink")
    }

    pub(super) fn wait_up_to(&mut self, count: u64, seconds: u64) -> Result<(u64, Span)> {
        self.process.send(&format!("wait {count} {seconds}"))?;
        let line = self.process.line()?;
        let (seen, times) = line.split_once(' ').context("the answer of the sink")?;
        Ok((seen.parse()?, Span::parse(times)?))
    }

    pub(super) fn wait(&mut self, count: u64, seconds: u64) -> Result<Span> {
        let (seen, span) = self.wait_up_to(count, seconds)?;
        ensure!(seen >= count, "{seen} of {count} requests within {seconds} s");
        Ok(span)
    }

    pub(super) fn order(&mut self) -> Result<(u64, u64)> {
        self.process.send("order")?;
        let line = self.process.line()?;
        let (keys, wrong) = line.split_once(' ').context("the answer of the sink")?;
        Ok((keys.parse()?, wrong.parse()?))
    }

    pub(super) fn times(&mut self) -> Result<BTreeMap<u64, u128>> {
        self.process.send("times")?;
        times(&self.process.line()?)
    }
}

pub(super) fn times(line: &str) -> Result<BTreeMap<u64, u128>> {
    let pair = |word: &str| {
        let (number, time) = word.split_once(':')?;
        Some((number.parse().ok()?, time.parse().ok()?))
    };
    line.split_whitespace().map(|word| pair(word).with_context(|| format!("no time: {word}"))).collect()
}
