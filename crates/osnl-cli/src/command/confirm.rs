use std::io::{IsTerminal as _, Write as _};

use super::asking::NoAnswer;
use crate::exit::Exit;

/// A standard input that is not a terminal is an error: the operator must pass `--yes` to `discard`, a verb
/// with its object.
pub(super) fn agreed(question: &str, discard: &str) -> Result<bool, NoAnswer> {
    agreed_to(question, &format!("nothing was discarded: add --yes to {discard}; --dry-run shows which"))
}

#[expect(clippy::print_stderr, reason = "a question is no output")]
pub(super) fn agreed_to(question: &str, refusal: &str) -> Result<bool, NoAnswer> {
    if !std::io::stdin().is_terminal() {
        return Err(NoAnswer::new(Exit::Usage, refusal));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    Ok(read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}
