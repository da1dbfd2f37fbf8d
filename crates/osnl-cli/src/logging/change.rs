//! Other levels and another file while the program runs: the file is opened first, so that what cannot be written
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

/// Makes ready what these settings say; calling what is answered lets them count.
///
/// # Errors
/// The log file cannot be opened.
pub(crate) fn prepare(settings: LogSettings) -> io::Result<Box<dyn FnOnce() + Send>> {
    let file = match &settings.destination {
        LogDestination::Stderr => None,
        // The one that is open may be open already; the same file twice is written in the same order.
        LogDestination::File(path) => Some(LogWriter::open(path, settings.rotation(), &Zoned::now())?),
    };
    Ok(Box::new(move || {
        if let Some(output) = OUTPUT.get() {
            *output.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
            output.is_json.store(settings.style == Style::Json, Ordering::Relaxed);
        }
        if let Some(levels) = LEVELS.get() {
            // Fails only when nothing logs any more.
            let _ = levels.reload(settings.levels());
        }
    }))
}
