//! What grows and what must not: with the size of a message, the number of rules, the length of a queue, and
//! with the time that a broker was away.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use osnl_testkit::wait_until;

use super::process::now;
use super::sections::{Effort, Load, SECONDS, SIZE, drain, spread};
use super::sink::Span;
use super::stage::{Emitter, Program, Stage, When};
use super::table::{Table, median};

/// Our own part is what a message costs beyond what the client library takes for it.
pub(super) fn sizes(stage: &Stage, effort: Effort) -> Result<()> {
    let mut table = Table::new(
        "(sizes) our own part, with the size of what nobody wants",
        &["bytes", "raw, CPU µs/msg", "osnl, CPU µs/msg", "our own part, µs/msg"],
    );
    for size in [SIZE, 15 * 1024] {
        let load = Load { size, ..Load::one_percent(effort) };
        let title = format!("(sizes) one message in a hundred matches, the others have {size} bytes");
        let drained = drain(stage, &title, &[Program::Raw, Program::Osnl], effort.rounds, load)?;
        let raw = drained.cpu(Program::Raw).context("no figure of the raw consumer")?;
        let osnl = drained.cpu(Program::Osnl).context("no figure of osnl")?;
        table.row(&[
            size.to_string(),
            format!("{raw:.1}"),
            format!("{osnl:.1}"),
            format!("{:.1}", osnl - raw),
        ]);
    }
    table.print();
    Ok(())
}

/// A thousand rules against one, without and with `when`.
pub(super) fn rules(stage: &Stage, effort: Effort) -> Result<()> {
    let title = "(rules) one message in a hundred matches the last rule, the others match none";
    let programs = [When::No, When::AfterHead]
        .map(|when| [Program::Rules(1, when), Program::Rules(1000, when)])
        .concat();
    drain(stage, title, &programs, effort.rounds, Load::one_percent(effort))?.print();
    // A thousand expressions for each message take their time.
    let load = Load { count: effort.mostly_unmatched / 20, ..Load::one_percent(effort) };
    let title = "(rules) the same, decided by nothing but when";
    let programs = [Program::Rules(1, When::Alone), Program::Rules(1000, When::Alone)];
    drain(stage, title, &programs, effort.rounds, load)?.print();
    Ok(())
}

/// A long queue.
pub(super) fn waiting(stage: &Stage, effort: Effort) -> Result<()> {
    // As small as they were recorded: the broker keeps them all.
    let load = Load { count: effort.waiting, every: 100, size: 1 };
    let title = "(waiting) a long queue: one message in a hundred matches, all of about 1.5 kB";
    drain(stage, title, &[Program::Osnl], 1, load)?.print();
    Ok(())
}

/// What a notifier emits, confirmed.
pub(super) fn publish(stage: &Stage, effort: Effort) -> Result<()> {
    let mut rows: Vec<(&str, u64, Vec<f64>, Vec<f64>)> = Vec::new();
    for round in 0..effort.rounds {
        for (name, emitter) in stage.emitters() {
            // oslo.messaging takes its time.
            let count = match emitter {
                Emitter::Osnl => effort.mostly_unmatched,
                Emitter::Oslo if round < 2 => effort.mostly_unmatched / 20,
                Emitter::Oslo => continue,
            };
            let (process, span) = stage.queue()?.emit(emitter, count)?;
            let rate = count as f64 / span.seconds();
            let cpu = process.cpu()?.as_secs_f64() * 1e6 / count as f64;
            match rows.iter_mut().find(|row| row.0 == name) {
                Some(row) => {
                    row.2.push(rate);
                    row.3.push(cpu);
                }
                None => rows.push((name, count, vec![rate], vec![cpu])),
            }
        }
    }
    let columns = ["", "messages", "msg/s", "ratio", "CPU µs/msg"];
    let mut table = Table::new(
        "(publish) notifications as recorded, about 1.5 kB, each confirmed by the broker",
        &columns,
    );
    let slowest = rows.iter().map(|row| median(&row.2)).fold(f64::INFINITY, f64::min);
    for (name, count, rates, cpu) in &rows {
        table.row(&[
            (*name).to_owned(),
            format!("{} x {count}", rates.len()),
            spread(rates, 0),
            format!("{:.1}", median(rates) / slowest),
            spread(cpu, 1),
        ]);
    }
    table.print();
    Ok(())
}

/// From the moment the broker's port accepts again to the request about a message published then.
pub(super) fn comes_back(stage: &Stage, effort: Effort) -> Result<()> {
    let queue = stage.queue()?;
    queue.fill(1, 1, SIZE)?;
    let _process = queue.consume(Program::Osnl, 1)?;
    stage.sink().wait(1, SECONDS)?;
    let (mut published, mut requested) = (Vec::new(), Vec::new());
    for round in 1..=effort.rounds {
        stage.sink().reset()?;
        stage.broker().kill9();
        let accepts = std::thread::scope(|scope| {
            let broker = stage.broker();
            let starting = scope.spawn(|| broker.start_again());
            let accepts = accepts_again(broker.port());
            starting.join().map(|()| accepts)
        })
        .map_err(|_| anyhow!("the broker does not start again"))?;
        // Of the first ones osnl has had each before, and knows them again: only the last is new.
        queue.fill(round as u64 + 1, 1, SIZE)?;
        let confirmed = now();
        let span = stage.sink().wait(1, SECONDS)?;
        ensure!(span.first >= accepts, "a request from before the broker was back");
        published.push(Span { first: accepts, last: confirmed }.seconds() * 1e3);
        requested.push(Span { first: accepts, last: span.first }.seconds() * 1e3);
    }
    let columns = ["", "rounds", "median (min–max)"];
    let mut table = Table::new("(return) after the broker was killed and came back, ms", &columns);
    table.row(&["a publisher's confirm".to_owned(), effort.rounds.to_string(), spread(&published, 0)]);
    table.row(&["osnl's request".to_owned(), effort.rounds.to_string(), spread(&requested, 0)]);
    table.print();
    Ok(())
}

/// When the port answers as RabbitMQ does.
fn accepts_again(port: u16) -> u128 {
    let answers = || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"AMQP\x00\x00\x09\x01")?;
            stream.read_exact(&mut [0])
        })
    };
    wait_until(Duration::from_secs(SECONDS), "the broker to accept connections", || answers().is_ok());
    now()
}
