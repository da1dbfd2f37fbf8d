//! The question before something that cannot be undone.

use std::io::{IsTerminal as _, Write as _};

use super::asking::NoAnswer;
use crate::exit::Exit;

/// Asks on a terminal whether to go on; without a question that was seen the answer is no.
///
/// # Errors
/// Standard input is not a terminal: `--yes` has to be given to `discard`, which is a verb and what it is done to.
#[expect(clippy::print_stderr, reason = "a question is no output")]
pub(super) fn agreed(question: &str, discard: &str) -> Result<bool, NoAnswer> {
    if !std::io::stdin().is_terminal() {
        let refusal = format!("nothing was discarded: add --yes to {discard}; --dry-run shows which");
        return Err(NoAnswer::new(Exit::Usage, refusal));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    Ok(read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}
