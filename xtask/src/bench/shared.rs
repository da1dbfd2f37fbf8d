//! A journal that several daemons share: beside a bare client, beside a journal on the disk, and four daemons beside
//! one.
//!
//! The private PostgreSQL waits for this disk at each commit. It shares the machine's cores with the broker, the
//! target, and all daemons.

use anyhow::Result;
use osnl_testkit::{Postgres, wait_until};

use super::journal::run;
use super::process::Process;
use super::sections::{Effort, Load, SECONDS, SIZE, drain, paced, paced_by, spread};
use super::sink::times;
use super::stage::{Program, Queue, SOON, Stage, built};
use super::table::{Table, median, quantile};
use crate::step;

const WINDOWS: [u64; 2] = [100, 500];
const LATENCY_MS: u64 = 20;
const AT_ONCE: u64 = 2;
const CLAIMED: u64 = 1000;

pub(super) fn journal(stage: &Stage, effort: Effort) -> Result<()> {
    let server = Postgres::start(true);
    let mut wanted = Table::new("(shared) what was wanted", &["", "found", "wanted"]);
    let mut row = |what: &str, found: f64, bound: &str| {
        wanted.row(&[what.to_owned(), format!("{found:.2}"), bound.to_owned()]);
    };
    for window in WINDOWS {
        let ratio = alone(&server, effort, window)?;
        row(&format!("rate of the journal, of a bare client's, {window} open"), ratio, "at least 0.4");
    }
    let load = Load { count: effort.matching, every: 1, size: SIZE };
    let title = "(shared) every message matches, the journal is on this disk or in PostgreSQL";
    let shared = |queue: &Queue<'_>| queue.consume_shared(&server.database());
    let drained = drain(stage, title, &[Program::Journal], effort.rounds, load)?;
    let rates = drained_by(stage, effort, &shared)?;
    drained.print();
    let on_disk = drained.rate(Program::Journal).unwrap_or(f64::NAN);
    let mut table = Table::new("(shared) the same, the journal is in PostgreSQL", &["msg/s"]);
    table.row(&[spread(&rates, 0)]);
    table.print();
    row("rate of one daemon, of that with SQLite", median(&rates) / on_disk, "at least 0.35");
    let (added, commit) = latency(stage, &server, effort, &shared)?;
    row("added p99, of the p99 of a commit", added / commit, "at most 3");
    row("rate of four daemons, of that of one", scaled(stage, &server, effort)?, "at least 3.6");
    let baseline = claims(&server, CLAIMED, effort)?;
    let many = claims(&server, effort.backlog, effort)?;
    row(
        &format!("claims with {} pending, of those with {CLAIMED}", effort.backlog),
        many / baseline,
        "at most 1.3",
    );
    wanted.print();
    Ok(())
}

fn alone(server: &Postgres, effort: Effort, window: u64) -> Result<f64> {
    let count = effort.matching;
    let mut rates: [Vec<f64>; 2] = Default::default();
    for _ in 0..effort.rounds {
        for (rates, command) in rates.iter_mut().zip(["bare", "shared"]) {
            let (url, numbers) = (server.database(), [count, window].map(|number| number.to_string()));
            rates.push(count as f64 / run(&[command, &url, &numbers[0], &numbers[1]])?.seconds());
        }
    }
    let title = format!("(shared) append, admission, claim, and end, {window} open, per second");
    let mut table = Table::new(&title, &["", "msg/s"]);
    for (name, rates) in ["bare client", "journal"].iter().zip(&rates) {
        table.row(&[(*name).to_owned(), spread(rates, 0)]);
    }
    table.print();
    Ok(median(&rates[1]) / median(&rates[0]))
}

type Start<'a> = &'a dyn Fn(&Queue<'_>) -> Result<Process>;

fn drained_by(stage: &Stage, effort: Effort, start: Start<'_>) -> Result<Vec<f64>> {
    let count = effort.matching;
    let mut rates = Vec::new();
    for _ in 0..effort.rounds {
        let queue = stage.queue()?;
        queue.fill(count, 1, SIZE)?;
        let _process = start(&queue)?;
        let span = stage.sink().wait(count, SECONDS)?;
        queue.wait_for_end();
        rates.push((count - 1) as f64 / span.seconds());
    }
    Ok(rates)
}

fn latency(stage: &Stage, server: &Postgres, effort: Effort, start: Start<'_>) -> Result<(f64, f64)> {
    const RATE: u64 = 100;
    let count = RATE * effort.paced;
    let (memory, _) = paced(stage, Program::Native, RATE, count)?;
    let (shared, _) = paced_by(stage, "osnl run, journal in PostgreSQL", start, RATE, count)?;
    let commits = step::output(built("osnl-bench").args([
        "commits",
        &server.database(),
        &count.to_string(),
        &RATE.to_string(),
    ]))?;
    let commits: Vec<f64> = times(commits.trim())?.into_values().map(|nanos| nanos as f64 / 1e6).collect();
    let columns = ["", "p50", "p99", "max"];
    let title = format!("(shared) from publishing to the request at {RATE} msg/s, ms");
    let mut table = Table::new(&title, &columns);
    for (name, found) in
        [("memory://", &memory), ("PostgreSQL", &shared), ("a commit of the database", &commits)]
    {
        let cells = [0.5, 0.99, 1.0].map(|share| format!("{:.2}", quantile(found, share)));
        table.row(&[&[name.to_owned()][..], &cells].concat());
    }
    table.print();
    Ok((quantile(&shared, 0.99) - quantile(&memory, 0.99), quantile(&commits, 0.99)))
}

fn scaled(stage: &Stage, server: &Postgres, effort: Effort) -> Result<f64> {
    stage.sink().pause(LATENCY_MS)?;
    let columns = ["daemons", "requests", "limit, req/s", "req/s"];
    let title =
        format!("(shared) answers take {LATENCY_MS} ms, each daemon makes {AT_ONCE} requests at once");
    let mut table = Table::new(&title, &columns);
    let mut found = Vec::new();
    for daemons in [1, 4] {
        let limit = daemons * AT_ONCE * 1000 / LATENCY_MS;
        let count = limit * effort.paced;
        let mut rates = Vec::new();
        for _ in 0..effort.rounds {
            let (queue, url) = (stage.queue()?, server.database());
            let members = (0..daemons)
                .map(|n| queue.consume_as_member(&url, n, AT_ONCE))
                .collect::<Result<Vec<_>>>()?;
            queue.wait_for_consumers(daemons);
            wait_for_owners(server, &url, daemons);
            queue.publish(count)?;
            rates.push((count - 1) as f64 / stage.sink().wait(count, SECONDS)?.seconds());
            drop(members);
        }
        table.row(&[
            daemons.to_string(),
            format!("{} x {count}", rates.len()),
            limit.to_string(),
            spread(&rates, 0),
        ]);
        found.push(median(&rates));
    }
    stage.sink().pause(0)?;
    table.print();
    Ok(found[1] / found[0])
}

fn wait_for_owners(server: &Postgres, url: &str, daemons: u64) {
    let database = url.rsplit_once('/').map_or("", |(_, name)| name);
    let least = "SELECT coalesce(min(n), 0) >= 64 / $1 AND count(*) = $1 FROM (SELECT count(*) AS n FROM osnl_partition \
                 WHERE token IS NOT NULL GROUP BY token) AS owned";
    let sql = least.replace("$1", &daemons.to_string());
    wait_until(SOON, "each daemon to own its share", || server.rows(database, &sql) == "t");
}

fn claims(server: &Postgres, pending: u64, effort: Effort) -> Result<f64> {
    // A large journal takes long to make, hence one round.
    let rounds = if pending > CLAIMED { 1 } else { effort.rounds };
    let mut spans = Vec::new();
    for _ in 0..rounds {
        let numbers = [pending, CLAIMED].map(|number| number.to_string());
        let span = run(&["claims", &server.database(), &numbers[0], &numbers[1]])?;
        spans.push(span.seconds() * 1e3);
    }
    println!("(shared) {CLAIMED} claims and ends with {pending} pending: {} ms", spread(&spans, 1));
    Ok(median(&spans))
}
