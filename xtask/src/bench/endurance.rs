//! Two hours of a cloud's events through a journal that prunes, with a target that is away in each hour: nothing may be
//! lost, and nothing may grow.
//!
//! The speed of a shared machine changes by a third from minute to minute, so CPU is compared as a multiple of the
//! publisher's, which is a new process with the same work each minute.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::effort::Effort;
use super::process::{Process, Watched, cpu_of_ended};
use super::sink::times;
use super::stage::Stage;
use super::table::{Table, median, quantile};
use crate::step;

const RATE: u64 = 200;
/// The growth that is allowed from the first window to the last.
const ALLOWED: f64 = 1.1;
/// Seconds until the last effects, which the target may still refuse at first.
const DRAIN: u64 = 600;

/// The minutes of a run. Shorter runs have shorter hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    minutes: u64,
    hour: u64,
}

/// The daemon at the end of a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// The anonymous memory, in MiB.
    memory: f64,
    descriptors: f64,
    /// Milliseconds of CPU for each event of the minute.
    cpu: f64,
    /// The CPU of the minute, as a multiple of the publisher's.
    cpu_ratio: f64,
    /// The file with its WAL, in MiB.
    file: f64,
}

impl Plan {
    fn new(minutes: u64) -> Self {
        Self { minutes, hour: minutes.div_ceil(2).max(12) }
    }

    /// Whether the target is away: for a twelfth of each hour, in its middle.
    fn is_away(self, minute: u64) -> bool {
        let within = minute % self.hour;
        (self.hour / 2..self.hour / 2 + self.hour / 12).contains(&within)
    }

    /// The option that makes the journal prune, from the middle of the minutes before the first that are compared.
    fn retention(self) -> String {
        format!("retention = {}\n", self.windows()[0].start * 60 / 2)
    }

    /// The minutes in which the file has held what an outage leaves, up to the last that are compared.
    fn after_outage(self) -> std::ops::Range<u64> {
        self.hour / 2 + self.hour / 12..self.windows()[1].start
    }

    /// The minutes that are compared, each a sixth of an hour: the second of the run and the last.
    fn windows(self) -> [std::ops::Range<u64>; 2] {
        let window = self.hour / 6;
        [window..2 * window, self.minutes - window..self.minutes]
    }
}

pub(super) fn run(stage: &Stage, effort: Effort) -> Result<()> {
    let plan = Plan::new(effort.endurance);
    let queue = stage.queue()?;
    let state = stage.folder("endurance")?;
    queue.fill(1, 1, super::effort::SIZE)?;
    let process = queue.consume_pruning(&state, &plan.retention())?;
    stage.sink().wait(1, super::effort::SECONDS)?;
    queue.wait_for_consumer();
    let file = state.join("journal.db");
    let path = step::target_dir().join("endurance.csv");
    // A run that fails leaves the minutes before.
    let save = |samples: &[Sample], waits: &[[f64; 2]]| {
        std::fs::write(&path, csv(samples, waits)).with_context(|| path.display().to_string())
    };
    println!("(endurance) each minute: {}", path.display());
    let (mut published, mut samples) = (BTreeMap::new(), Vec::new());
    let mut before = [process.cpu()?, cpu_of_ended()?];
    for minute in 0..plan.minutes {
        stage.sink().fail(u64::from(plan.is_away(minute)))?;
        let count = RATE * 60;
        published.extend(times(&step::output(&mut queue.publisher(RATE, count, minute * count + 1))?)?);
        let now = [process.cpu()?, cpu_of_ended()?];
        let [cpu, reference] = [0, 1].map(|at| (now[at] - before[at]).as_secs_f64());
        let latest = sample(&process, &file, cpu * 1e3 / count as f64, cpu / reference)?;
        before = now;
        samples.push(latest);
        save(&samples, &[])?;
        if (minute + 1).is_multiple_of(10) {
            let Sample { memory, descriptors, cpu, cpu_ratio, file } = latest;
            println!(
                "(endurance) {} min: memory {memory:.1} MiB, {descriptors} descriptors, {cpu:.3} ms/event ({cpu_ratio:.2} times the publisher's), file {file:.1} MiB",
                minute + 1
            );
        }
    }
    stage.sink().fail(0)?;
    // The first message is one more.
    let drained = stage.sink().wait(published.len() as u64 + 1, DRAIN);
    let arrived = stage.sink().times()?;
    let waits: Vec<[f64; 2]> =
        (0..plan.minutes).map(|minute| waits_of(minute, &published, &arrived)).collect();
    save(&samples, &waits)?;
    let lost = published.keys().filter(|number| !arrived.contains_key(number)).count();
    ensure!(lost == 0, "{lost} events had no effect");
    drained.context("events were lost")?;
    judge(plan, &samples, &waits)
}

/// Reads a figure from a minute: its sample, and the median and the 99th percentile of its events.
type Figure = fn(&Sample, &[f64; 2]) -> f64;

fn sample(process: &Process, file: &Path, cpu: f64, cpu_ratio: f64) -> Result<Sample> {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let bytes = bytes(file) + bytes(&file.with_extension("db-wal"));
    let Watched { memory, descriptors } = process.watched()?;
    let file = bytes as f64 / f64::from(1 << 20);
    Ok(Sample { memory, descriptors: descriptors as f64, cpu, cpu_ratio, file })
}

/// Returns the median and the 99th percentile of a minute's events, in milliseconds.
fn waits_of(minute: u64, published: &BTreeMap<u64, u128>, arrived: &BTreeMap<u64, u128>) -> [f64; 2] {
    let numbers = minute * RATE * 60 + 1..(minute + 1) * RATE * 60 + 1;
    let wait = |(number, at): (&u64, &u128)| Some(arrived.get(number)?.saturating_sub(*at) as f64 / 1e6);
    let waits: Vec<f64> = published.range(numbers).filter_map(wait).collect();
    [quantile(&waits, 0.5), quantile(&waits, 0.99)]
}

/// Returns a line for each minute; the waits are known at the end of the run.
fn csv(samples: &[Sample], waits: &[[f64; 2]]) -> String {
    let mut text = "minute,memory_mib,descriptors,cpu_ms,cpu_ratio,p50_ms,p99_ms,file_mib\n".to_owned();
    for (minute, sample) in samples.iter().enumerate() {
        let Sample { memory, descriptors, cpu, cpu_ratio, file } = sample;
        let waits =
            waits.get(minute).map_or_else(|| ",".to_owned(), |[p50, p99]| format!("{p50:.2},{p99:.2}"));
        let _ =
            writeln!(text, "{minute},{memory:.1},{descriptors},{cpu:.3},{cpu_ratio:.3},{waits},{file:.1}");
    }
    text
}

fn judge(plan: Plan, samples: &[Sample], waits: &[[f64; 2]]) -> Result<()> {
    let [first, last] = plan.windows();
    let title = format!(
        "(endurance) {} minutes at {RATE}/s, the target away for {} of each {}",
        plan.minutes,
        plan.hour / 12,
        plan.hour
    );
    let columns =
        ["", "the second sixth of an hour (file: after an outage)", "the last", "wanted: at most 1.1 times"];
    let mut table = Table::new(&title, &columns);
    let mut grown = Vec::new();
    let figures: [(&str, Figure); 5] = [
        ("memory MiB", |sample, _| sample.memory),
        ("descriptors", |sample, _| sample.descriptors),
        ("CPU / publisher's", |sample, _| sample.cpu_ratio),
        ("p99 ms", |_, waits| waits[1]),
        ("file MiB", |sample, _| sample.file),
    ];
    for (name, figure) in figures {
        let of = |window: &std::ops::Range<u64>| {
            let minutes = window.clone().filter_map(|minute| usize::try_from(minute).ok());
            let found = minutes.filter_map(|at| Some(figure(samples.get(at)?, waits.get(at)?)));
            median(&found.collect::<Vec<_>>())
        };
        // The file keeps the size that it needed after an outage.
        let before = if name == "file MiB" { plan.after_outage() } else { first.clone() };
        let (before, after) = (of(&before), of(&last));
        let is_flat = after <= before * ALLOWED;
        table.row(&[
            name.to_owned(),
            format!("{before:.2}"),
            format!("{after:.2}"),
            if is_flat { "yes" } else { "NO" }.to_owned(),
        ]);
        if !is_flat {
            grown.push(name);
        }
    }
    table.print();
    ensure!(grown.is_empty(), "grown: {}", grown.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample = Sample { memory: 30.0, descriptors: 20.0, cpu: 1.0, cpu_ratio: 4.0, file: 100.0 };

    #[test]
    fn the_target_is_away_in_the_middle_of_each_hour_and_not_in_the_compared_minutes() {
        let check = |minutes: u64, away: &[u64]| {
            let plan = Plan::new(minutes);
            let found: Vec<u64> = (0..minutes).filter(|minute| plan.is_away(*minute)).collect();
            assert_eq!(found, away);
            assert!(plan.windows().into_iter().flatten().all(|minute| !plan.is_away(minute)), "{plan:?}");
        };
        check(120, &[30, 31, 32, 33, 34, 90, 91, 92, 93, 94]);
        check(12, &[6]);
    }

    #[test]
    fn the_journal_prunes_before_the_compared_minutes_and_the_file_is_compared_after_an_outage() {
        let check = |minutes: u64, retention: &str, after_outage: std::ops::Range<u64>| {
            let plan = Plan::new(minutes);
            assert_eq!((plan.retention().as_str(), plan.after_outage()), (retention, after_outage));
        };
        check(120, "retention = 300\n", 35..110);
        check(12, "retention = 60\n", 7..10);
    }

    #[test]
    fn a_minute_has_a_line_before_its_waits_are_known() {
        let expected = "minute,memory_mib,descriptors,cpu_ms,cpu_ratio,p50_ms,p99_ms,file_mib\n\
                        0,30.0,20,1.000,4.000,1.00,5.00,100.0\n1,30.0,20,1.000,4.000,,,100.0\n";
        assert_eq!(csv(&[SAMPLE; 2], &[[1.0, 5.0]]), expected);
    }

    #[test]
    fn growth_is_a_failure() {
        let plan = Plan::new(12);
        let flat = [SAMPLE; 12];
        let waits = [[1.0, 5.0]; 12];
        assert!(judge(plan, &flat, &waits).is_ok());
        let mut grown = flat;
        grown[10..].iter_mut().for_each(|sample| sample.memory = 34.0);
        assert_eq!(judge(plan, &grown, &waits).unwrap_err().to_string(), "grown: memory MiB");
        let mut costly = flat;
        costly[10..].iter_mut().for_each(|sample| sample.cpu_ratio = 4.5);
        assert_eq!(judge(plan, &costly, &waits).unwrap_err().to_string(), "grown: CPU / publisher's");
        let mut on_a_slow_machine = flat;
        on_a_slow_machine[10..].iter_mut().for_each(|sample| sample.cpu = 2.0);
        assert!(judge(plan, &on_a_slow_machine, &waits).is_ok());
        let mut slower = waits;
        slower[10..].iter_mut().for_each(|waits| waits[1] = 6.0);
        assert_eq!(judge(plan, &flat, &slower).unwrap_err().to_string(), "grown: p99 ms");
    }
}
