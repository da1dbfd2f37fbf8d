//! The question before something that cannot be undone.

use std::io::{IsTerminal as _, Write as _};

use super::asking::NoAnswer;
use crate::exit::Exit;

/// Asks on a terminal whether to go on; without a question that was seen the answer is no.
///
/// # Errors
/// Standard input is not a terminal: `would` is the consequence that has to be confirmed with `--yes`.
#[expect(clippy::print_stderr, reason = "a question is no output")]
pub(super) fn agreed(question: &str, would: &str) -> Result<bool, NoAnswer> {
    if !std::io::stdin().is_terminal() {
        return Err(NoAnswer::new(Exit::Usage, format!("{would}; --yes confirms, --dry-run only shows")));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    Ok(read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}
