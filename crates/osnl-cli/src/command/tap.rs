//! `osnl tap`: shows the messages that pass a broker, from its own queue that vanishes at the end.
//!
//! It takes no message from another consumer, declares no exchange, and binds only its own queue.
//! Events are written to standard output, all remarks to standard error.
//!
//! ```text
//! session.rs ──batches──► writer.rs (a thread): event.rs reads and chooses ──► line.rs or json.rs
//! ──► stdout
//!   one tap after another                        resource.rs: what it is about  └► save.rs: as
//! received
//!                         └► view.rs (a thread), on a terminal: a screen of events, one opened, or rates
//! ```
//!
//! Ends with 0 if something was shown, 1 if nothing was or output or file could not be written, 2
//! for wrong usage, 69 if the broker refused access, 78 for a configuration that cannot be used,
//! 130 after a second signal.

mod args;
mod condition;
mod event;
mod json;
mod line;
mod plan;
mod rates;
mod refusal;
mod resource;
mod save;
mod session;
#[cfg(test)]
mod tests;
mod view;
mod voice;
mod writer;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use osnl_brokers::Driver;
use osnl_model::TransportUrl;
use osnl_transport::{TapOptions, TransportError, login_user};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

pub(crate) use self::args::TapArgs;
use self::plan::{FlagRefusal, TapOutput, TapPlan};
use self::session::{ConnectionCourse, WriterClock};
use self::voice::{TapVoice, say};
use self::writer::{Arrivals, WriterTotals};
use crate::app::{self, ProgramSignal, Signals};
use crate::exit::Exit;
use crate::logging::{self, LogDestination, LogSettings};
use crate::terminal;

const BATCHES: usize = 8;
/// The limit without a terminal, where a script would otherwise wait for ever on a broker that is away.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &TapArgs) -> Exit {
    let settings = LogSettings {
        destination: LogDestination::Stderr,
        ours: LevelFilter::WARN,
        // `session` reports connection errors once, so the libraries' lines would repeat them.
        libraries: LevelFilter::OFF,
        style: logging::Style::Osnl,
    };
    let started = logging::start(&settings).map_err(anyhow::Error::from);
    let ended = match started.and_then(|()| TapPlan::from_args(args)) {
        Ok(plan) => app::block_on(Box::pin(tap(args, plan))).unwrap_or_else(|error| {
            say(&format!("error: {error}"));
            Exit::Failed
        }),
        Err(error) => {
            say(&format!("error: {error:#}"));
            error.downcast_ref::<FlagRefusal>().map_or(Exit::Config, |refusal| refusal.0)
        }
    };
    logging::flush();
    ended
}

async fn tap(args: &TapArgs, plan: TapPlan) -> Exit {
    let mut signals = Signals::catch();
    let TapPlan { url, transport, options, chosen, voice, output } = plan;
    let began = Instant::now();
    let (sender, batches) = mpsc::channel(BATCHES);
    let clock = match &output {
        TapOutput::Lines(writer) if writer.rates.is_some() => WriterClock::Told,
        TapOutput::Lines(_) | TapOutput::Screen(_) => WriterClock::Untold,
    };
    let heard = voice.clone();
    let mut writing = tokio::task::spawn_blocking(move || write(output, batches, &heard));
    let mut course = ConnectionCourse::default();
    let ended = {
        let session = session::run(&*transport, &options, (chosen, clock), (&sender, &voice), &mut course);
        tokio::select! {
            ended = session => ended.err(),
            () = end_signal(&mut signals) => None,
            () = after(args.duration) => None,
            () = unconnected(args.timeout, &voice) => None,
        }
    };
    // Received messages are still written. If the reader of the output is stuck, only a second
    // signal ends this wait.
    drop(sender);
    let written = tokio::select! {
        written = &mut writing => written.unwrap_or_else(|error| {
            WriterTotals { failure: Some(error.to_string()), ..WriterTotals::default() }
        }),
        () = end_signal(&mut signals) => {
            terminal::leave();
            return Exit::Interrupted;
        }
    };
    summary(&course, &written, began.elapsed());
    if let Some(error) = ended {
        refused(&error, &url, &options);
        return Exit::Unavailable;
    }
    match &written.failure {
        Some(failure) => {
            say(&format!("error: {failure}"));
            Exit::Failed
        }
        None if !course.opened => Exit::Unavailable,
        None if written.shown > 0 => Exit::Done,
        None => Exit::Failed,
    }
}

fn refused(error: &TransportError, url: &TransportUrl, options: &TapOptions) {
    say(&format!("error: {error}"));
    if Driver::for_url(url) == Driver::Kafka {
        return;
    }
    let user = login_user(url);
    let mut exchanges: Vec<&str> = options.bindings.iter().map(|binding| &*binding.exchange).collect();
    exchanges.dedup();
    if let Some(command) = refusal::remedy(error, (user, url.virtual_host()), &exchanges) {
        say(&format!("-> {command}"));
    }
}

fn write(output: TapOutput, batches: mpsc::Receiver<Arrivals>, voice: &TapVoice) -> WriterTotals {
    match output {
        TapOutput::Lines(writer) => writer.run(batches, &mut std::io::stdout().lock()),
        TapOutput::Screen(view) => view.run(batches, voice),
    }
}

fn summary(course: &ConnectionCourse, written: &WriterTotals, took: Duration) {
    if !course.opened {
        return;
    }
    let mut parts = vec![format!("{} shown", count(written.shown, "event"))];
    if written.seen > written.shown {
        parts.push(format!("{} seen", written.seen));
    }
    if written.unreadable > 0 {
        parts.push(format!("{} could not be read", written.unreadable));
    }
    if written.undecided > 0 {
        parts.push(format!("{} could not be decided by --when", written.undecided));
    }
    if course.dropped > 0 {
        parts.push(format!("{} dropped by the queue's limit", course.dropped));
    }
    if course.gaps > 0 {
        let gaps = count(u64::from(course.gaps), "gap");
        parts.push(format!("{gaps} of {:.1} s in all", course.gone.as_secs_f64()));
    }
    say(&format!("{} in {:.1} s", parts.join(", "), took.as_secs_f64()));
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

async fn end_signal(signals: &mut Signals) {
    match signals.next().await {
        // SIGHUP means that the terminal is gone.
        ProgramSignal::Hangup => {}
        ProgramSignal::End(_) => {}
    }
}

/// Ends if there was no connection within the limit. Later losses of a connection have no limit.
async fn unconnected(limit: Option<Duration>, voice: &TapVoice) {
    let usual = (!std::io::stderr().is_terminal()).then_some(USUAL_TIMEOUT);
    let Some(limit) = limit.or(usual) else { return std::future::pending().await };
    tokio::time::sleep(limit).await;
    // The host stays known after a loss.
    if !voice.standing().host.is_empty() {
        return std::future::pending().await;
    }
    voice.say(&format!("error: no connection within {} (--timeout)", osnl_config::duration::shown(limit)));
}

async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
