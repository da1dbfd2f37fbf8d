//! The requests alone: the action as osnl makes it, without broker and journal.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, stream};
use osnl::action::http::HttpOptions;
use osnl::action::k2hr3::K2hr3;
use osnl::action::{Action, Event};
use osnl_k2hr3::ApiUrl;

use crate::clock::print_span;
use crate::journal::received;
use crate::messages::Messages;

/// Makes `count` requests of the target at `port`, `in_flight` at once; prints when the first began and the last ended.
pub(crate) async fn run(port: u64, count: u64, in_flight: u64) -> Result<()> {
    let url = ApiUrl::parse(&format!("http://127.0.0.1:{port}/v1/role"))?;
    let action = K2hr3::new(url, &HttpOptions::from_environment([]))?;
    let messages = Messages::new(0)?;
    let events = received((1..=count).map(|n| messages.matching(n))).map(|received| {
        let notification = received.decode()?;
        Ok(Event::new(received, notification, "deleted", "roles"))
    });
    let events: Vec<Event> = events.collect::<Result<_>>()?;
    run_all(&action, &events, in_flight).await
}

/// Runs an action for these events, `in_flight` at once; prints when the first began and the last ended.
pub(crate) async fn run_all(action: &dyn Action, events: &[Event], in_flight: u64) -> Result<()> {
    let began = Instant::now();
    let failed = stream::iter(events)
        .map(|event| action.run(std::slice::from_ref(event)))
        .buffer_unordered(usize::try_from(in_flight)?)
        .filter(|verdicts| std::future::ready(verdicts.iter().any(Result::is_err)))
        .count()
        .await;
    ensure!(failed == 0, "{failed} attempts failed");
    print_span(began.elapsed());
    Ok(())
}
