//! The action `dump`: each event as one line of JSON on standard output, or in a file as
//! [`file`](super::file) writes it.
//!
//! Secrets in context, payload and `enrichments` are masked. A line that cannot be written counts
//! as a target that is down and is retried without end. Writing to standard output blocks the one
//! thread of osnl: a pipe with a slow reader stops everything, on purpose.

mod conf;

use std::io::{self, Write as _};

use osnl_action::{Action, ActionError, Completion, Event};
use osnl_transport::BoxFuture;

pub use self::conf::DumpConf;
use super::file::json_line;

const STDOUT: &str = "stdout";

struct ToStdout;

impl Action for ToStdout {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        let write = |event| match write(event) {
            Ok(()) => Ok(Completion::Delivered(format!("written to {STDOUT}"))),
            Err(error) => Err(ActionError::unwritable(format!("{STDOUT}: {error}"))),
        };
        Box::pin(std::future::ready(events.iter().map(write).collect()))
    }

    fn target(&self) -> String {
        STDOUT.to_owned()
    }
}

fn write(event: &Event) -> io::Result<()> {
    let mut out = io::stdout().lock();
    // One call for a whole line, so that lines of several writers do not mix.
    out.write_all(format!("{}\n", json_line(event)).as_bytes())?;
    out.flush()
}
