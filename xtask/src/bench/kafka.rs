//! osnl on Kafka, beside a consumer with the same client library that only stores offsets, and beside itself on RabbitMQ.
//!
//! The cluster is the mock cluster of the client library, in a process of its own for each run. It keeps 5 MiB for each
//! partition, so there are as many partitions as the messages need. It answers from memory: what a real cluster costs is
//! not seen here.

use std::path::Path;

use anyhow::{Result, ensure};

use super::library;
use super::process::{Process, now};
use super::sections::{Effort, Load, SECONDS, SIZE, drain};
use super::sink::Span;
use super::stage::{OnKafka, Program, Stage, When, built, native, on_disk, start};
use super::table::{Figure, Table};

/// Messages of a partition: with 4 kB each, a little less than the cluster keeps.
const OF_A_PARTITION: u64 = 1200;

/// One message in a hundred, then every one; and what the client library costs when it is built.
pub(super) fn drained(stage: &Stage, effort: Effort) -> Result<()> {
    let (raw, memory) = (Program::Kafka(OnKafka::Raw), Program::Kafka(OnKafka::Memory));
    let title = "(kafka) one message in a hundred matches, the others are 4 kB";
    let rare = drain(stage, title, &[raw, memory], effort.rounds, Load::one_percent(effort))?;
    rare.print();
    let on_kafka = Program::Kafka(OnKafka::Journal);
    let load = Load { count: effort.matching, every: 1, size: SIZE };
    let title = "(kafka) every message matches, the journal is on this disk";
    let all = drain(stage, title, &[Program::Journal, on_kafka], effort.rounds, load)?;
    all.print();

    let mut table = Table::new("(kafka) what was wanted", &["", "found", "wanted"]);
    let mut row = |what: &str, found: Option<f64>, wanted: &str| {
        let found = found.map_or_else(|| "no figure".to_owned(), |found| format!("{found:.2}"));
        table.row(&[what.to_owned(), found, wanted.to_owned()]);
    };
    let ratio = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    let cpu = ratio(rare.cpu(memory), rare.cpu(raw));
    row("CPU of osnl, of the raw consumer's", cpu, "at most 1.5");
    row("rate of osnl, of the raw consumer's", ratio(rare.rate(memory), rare.rate(raw)), "at least 0.8");
    let rate = ratio(all.rate(on_kafka), all.rate(Program::Journal));
    row("rate with the journal, of that on RabbitMQ", rate, "at least 0.8");
    row("seconds of building the client library, when it was built last", library::seconds(), "");
    row("its megabytes in the program, by its symbols", Some(library::megabytes()?), "");
    table.print();
    Ok(())
}

/// One run. CPU time is all of the process's, its start included.
pub(super) fn once(stage: &Stage, consumer: OnKafka, load: Load) -> Result<Figure> {
    let Load { count, every, size } = load;
    stage.sink().reset()?;
    let mut cluster = Cluster::start()?;
    cluster.tell(&format!("fill {} {count} {every} {size}", count.div_ceil(OF_A_PARTITION)))?;
    let folder = stage.folder(&format!("kafka-{}", now()))?;
    let mut process = cluster.consume(stage, consumer, &folder, count)?;
    // The last message of each partition matches, so the last request comes when all of them have been read.
    let (span, of) = match consumer {
        OnKafka::Raw => (Span::parse(&process.line()?)?, count),
        OnKafka::Memory | OnKafka::Journal => (stage.sink().wait(count / every, SECONDS)?, count - every),
    };
    cluster.tell("finished")?;
    Ok(Figure {
        messages: count,
        rate: of as f64 / span.seconds(),
        cpu: process.cpu()?.as_secs_f64() * 1e6 / count as f64,
        memory: process.peak_memory()?,
    })
}

/// A cluster, as `osnl-bench cluster` speaks of it.
struct Cluster {
    process: Process,
    address: String,
}

impl Cluster {
    fn start() -> Result<Self> {
        let mut process = Process::start(built("osnl-bench").arg("cluster"))?;
        let address = process.line()?;
        Ok(Self { process, address })
    }

    /// Gives it an order, and waits until it is done.
    fn tell(&mut self, order: &str) -> Result<()> {
        self.process.tell(order)?;
        let answer = self.process.line()?;
        ensure!(answer == "ok", "the cluster answers \"{answer}\" to \"{order}\"");
        Ok(())
    }

    fn consume(&self, stage: &Stage, consumer: OnKafka, folder: &Path, count: u64) -> Result<Process> {
        let journal = match consumer {
            OnKafka::Raw => {
                let mut command = built("osnl-bench");
                return Process::start(command.args(["read", &self.address, &count.to_string()]));
            }
            OnKafka::Memory => "connection = memory://".to_owned(),
            OnKafka::Journal => on_disk(folder),
        };
        let listener = format!(
            "transport_url = kafka://{}/?auto_offset_reset=earliest\npool = k2hr3_osnl\n",
            self.address
        );
        start(folder, &native(folder, &listener, stage.sink().port(), (&journal, 1, When::No)))
    }
}
