//! Changes levels and log file at run time. The file is opened first, so that an unwritable path
//! changes nothing.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{OnceLock, PoisonError};

use jiff::Zoned;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::Handle;

use super::file::LogWriter;
use super::{LogDestination, LogSettings, OUTPUT, Style};

pub(super) static LEVELS: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

pub(crate) fn prepare(settings: LogSettings) -> io::Result<Box<dyn FnOnce() + Send>> {
    let file = match &settings.destination {
        LogDestination::Stderr => None,
        // The same file may be open twice for a moment; appends keep their order.
        LogDestination::File(path) => Some(LogWriter::open(path, settings.rotation(), &Zoned::now())?),
    };
    Ok(Box::new(move || {
        if let Some(output) = OUTPUT.get() {
            *output.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
            output.is_json.store(settings.style == Style::Json, Ordering::Relaxed);
        }
        if let Some(levels) = LEVELS.get() {
            let _ = levels.reload(settings.levels());
        }
    }))
}
