//! `osnl run`: the daemon of a native configuration.

use std::io;
use std::sync::Arc;

use osnl::k2hr3::LogFile;
use osnl::metrics::Counters;
use osnl::native::{self, BuildError, Driver, Loaded, Native};

use super::k2hr3_osnl::filter;
use super::sources;
use crate::app;
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::logging::{self, Destination};

pub(crate) fn run(args: &RunArgs) -> Exit {
    let mut sources = sources::of(&args.sources);
    if args.debug {
        sources.flags.push(("debug", "true".to_owned(), "--debug"));
    }
    if let Some(path) = &args.log_file {
        sources.flags.push(("log_file", path.clone(), "--log-file"));
    }
    match native::load(&sources) {
        Ok(loaded) => start(&loaded).unwrap_or_else(|error| {
            sources::complain(&format!("{error:#}"));
            Exit::Failed
        }),
        Err(errors) => {
            sources::complain(&errors.to_string());
            Exit::Config
        }
    }
}

fn start(loaded: &Loaded) -> anyhow::Result<Exit> {
    let conf = &loaded.conf;
    let destination = match &conf.log_file {
        LogFile::Path(path) => Destination::File(path.clone()),
        LogFile::Stderr => Destination::Stderr,
    };
    logging::start(&destination, filter(conf.log_level), filter(conf.libs_log_level))
        .map_err(|error: io::Error| anyhow::anyhow!("log file: {error}; name another one with log_file"))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    warn_of_what_comes_later(conf);
    let counters = Arc::new(Counters::default());
    let daemon = match conf.daemon(&counters) {
        Ok(daemon) => daemon,
        Err(error @ BuildError::Transport { .. }) => {
            sources::complain(&error.to_string());
            return Ok(Exit::Config);
        }
        Err(error @ (BuildError::Certificates { .. } | BuildError::File { .. })) => return Err(error.into()),
    };
    tracing::info!(
        "Starting: {} listeners, {} rules, {} actions",
        daemon.listeners.len(),
        conf.rules.len(),
        conf.actions.len()
    );
    Ok(app::block_on(app::run(daemon, &counters))??)
}

/// Options that are read and checked, and do not act yet.
fn warn_of_what_comes_later(conf: &Native) {
    for action in &conf.actions {
        let Driver::K2hr3(k2hr3) = &action.driver else { continue };
        if !k2hr3.verify || k2hr3.ca_file.is_some() {
            tracing::warn!(
                action.name = &*action.name,
                "verify and ca_file are not applied yet: certificates are checked against the system's"
            );
        }
    }
}
