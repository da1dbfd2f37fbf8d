//! Events for a long-lived child: its action alone, and a whole osnl with a broker inside of this process.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use osnl::action::exec::{Exec, ExecOptions, Program};
use osnl::action::http::HttpOptions;
use osnl::action::{Action, Event};
use osnl::metrics::Counters;
use osnl::native::{Sources, load_texts};
use osnl::shutdown::Shutdown;
use osnl_model::{Priority, Target};
use osnl_transport::MemoryBroker;
use serde_json::Value;

use crate::clock::print_span;
use crate::http::run_all;
use crate::journal::received;
use crate::messages::Messages;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(600);

/// Hands `count` events to a child, `in_flight` at once; prints when the first began and the last ended.
pub(crate) async fn alone(count: u64, in_flight: u64, child: &[&str]) -> Result<()> {
    let action = Exec::new("tell", Program::new(child.iter().copied()), ExecOptions::default());
    let messages = Messages::new(0)?;
    let events = received((1..=count).map(|n| messages.matching(n))).map(|received| {
        let notification = received.decode()?;
        Ok(Event::new(received, notification, "deleted", "tell"))
    });
    let events: Vec<Event> = events.collect::<Result<_>>()?;
    action.open().await?;
    run_all(&action, &events, in_flight).await
}

/// The same from a broker inside of this process through rule, journal in memory and delivery.
pub(crate) async fn whole(count: u64, in_flight: u64, child: &[&str]) -> Result<()> {
    let command = serde_json::to_string(child)?.replace('$', "$$");
    let text = format!(
        "[journal]\nconnection = memory://\n\
         [listener:neutron]\ntransport_url = rabbit://mq/\nexchange = neutron\ndeclare = create\n\
         pool = osnl\n[rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = tell\n\
         [action:tell]\ndriver = exec\ncommand = {command}\nconcurrency = {in_flight}\n"
    );
    let conf = load_texts(&[("bench.conf".to_owned(), text)], &Sources::default())?.conf;
    let broker = MemoryBroker::new();
    let counters = Arc::new(Counters::default());
    let transports = |_: &_| Ok(Arc::new(broker.transport()) as Arc<dyn osnl_transport::Transport>);
    let daemon = conf.daemon_with(&transports, &HttpOptions::default(), &counters)?;
    let shutdown = Shutdown::new();
    let messages = Messages::new(0)?;
    let target = Target::new("neutron", "notifications");
    let publish = async {
        while broker.publish(&target, &Priority::Info, messages.other(0)) == 0 {
            tokio::task::yield_now().await;
        }
        for n in 1..=count {
            broker.publish(&target, &Priority::Info, messages.matching(n));
        }
        let began = Instant::now();
        while counters.delivered.get() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        print_span(began.elapsed());
        shutdown.drain.cancel();
    };
    let (ended, ()) = tokio::join!(daemon.run(&shutdown, LONG), publish);
    ended.context("the daemon")?;
    Ok(())
}

/// A child that has done everything.
pub(crate) fn answer() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let event: Value = serde_json::from_str(&line?)?;
        writeln!(out, "{{\"id\":{},\"verdict\":\"done\"}}", event["id"])?;
    }
    Ok(())
}
