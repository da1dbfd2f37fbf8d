use std::io::IsTerminal as _;

use inquire::ui::{RenderConfig, Styled};
use inquire::{Confirm, InquireError};

use super::asking::NoAnswer;
use crate::exit::Exit;

/// Without a terminal for question and answer, the operator must pass `--yes` to `discard`, a verb with its object.
pub(super) fn agreed(question: &str, discard: &str) -> Result<bool, NoAnswer> {
    let refusal = format!("nothing was discarded: add --yes to {discard}; --dry-run shows which");
    agreed_to(question, &refusal).map_err(|(exit, why)| NoAnswer::new(exit, why))
}

/// Asks on standard error. Everything but a yes is a no; Ctrl-C ends the command.
pub(super) fn agreed_to(question: &str, refusal: &str) -> Result<bool, (Exit, String)> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err((Exit::Usage, refusal.to_owned()));
    }
    let name = Styled::new("osnl:");
    let plain = RenderConfig::empty().with_prompt_prefix(name).with_answered_prompt_prefix(name);
    let question = format!("{question} [y/N]");
    let asked = Confirm::new(&question)
        .with_render_config(plain)
        .with_parser(&|answer| Ok(matches!(answer.trim(), "y" | "Y" | "yes")));
    match asked.prompt() {
        Ok(is_agreed) => Ok(is_agreed),
        Err(InquireError::OperationInterrupted) => Err((Exit::Interrupted, "interrupted".to_owned())),
        Err(InquireError::OperationCanceled) => Ok(false),
        Err(error) => Err((Exit::Failed, format!("the terminal cannot be asked: {error}"))),
    }
}
