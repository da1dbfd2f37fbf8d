//! The real oslo.messaging as a publisher and as a listener, and the real k2hr3-osnl as the reference.

mod listener;
mod publisher;
mod script;
mod upstream;
mod zygote;

pub use listener::OsloListener;
pub use publisher::{BrokerObjects, Notice, OsloPublisher, PublisherOptions, RawMessage, TakenMessage};
pub use script::python;
pub use upstream::Upstream;

use std::path::{Path, PathBuf};
use std::process::Command;

pub fn python_program(name: &str) -> Command {
    let folder = std::env::var_os(crate::PYTHON_VARIABLE)
        .unwrap_or_else(|| panic!("no Python environment: run the tests with \"cargo xtask test\""));
    program_in(&PathBuf::from(folder), name)
}

pub(crate) fn program_in(environment: &Path, name: &str) -> Command {
    let mut command = Command::new(environment.join("bin").join(name));
    for (key, _) in std::env::vars_os() {
        let text = key.to_string_lossy().to_ascii_lowercase();
        // oslo.config reads OS_<GROUP>__<OPTION>; urllib reads *_proxy; the rest would change the interpreter.
        if text.starts_with("os_") || text.ends_with("_proxy") || text.starts_with("python") {
            command.env_remove(&key);
        }
    }
    // oslo.service warns about eventlet at every import, several lines each.
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONWARNINGS", "ignore");
    command
}
