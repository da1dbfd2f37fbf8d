use std::io::IsTerminal as _;
use std::sync::mpsc;

use inquire::ui::{RenderConfig, Styled};
use inquire::{Confirm, InquireError};
use tokio::signal::unix::{SignalKind, signal};

use super::asking::NoAnswer;
use super::table::paragraph;
use crate::app;
use crate::exit::Exit;
use crate::output;
use crate::terminal;

const NAME: &str = "osnl:";
/// The columns that a question fits if standard output is no terminal.
const NARROW: usize = 80;

/// Without a terminal for question and answer, the operator must pass `--yes` to `change`, a verb with its object. `done` is
/// the participle of the command.
pub(super) fn agreed(question: &str, done: &str, change: &str) -> Result<bool, NoAnswer> {
    let refusal = format!("nothing was {done}: add --yes to {change}; --dry-run shows which");
    agreed_to(question, &refusal).map_err(|(exit, why)| NoAnswer::new(exit, why))
}

/// Asks on standard error. Everything but a yes is a no; Ctrl-C ends the command.
pub(super) fn agreed_to(question: &str, refusal: &str) -> Result<bool, (Exit, String)> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err((Exit::Usage, refusal.to_owned()));
    }
    let name = Styled::new(NAME);
    let plain = RenderConfig::empty().with_prompt_prefix(name).with_answered_prompt_prefix(name);
    let question = output::for_locale(&format!("{question} [y/N]")).into_owned();
    let question = wrapped(&question, terminal::columns().unwrap_or(NARROW));
    let asked = Confirm::new(&question)
        .with_render_config(plain)
        .with_parser(&|answer| Ok(matches!(answer.trim(), "y" | "Y" | "yes")));
    restore_after_signals();
    match asked.prompt() {
        Ok(is_agreed) => Ok(is_agreed),
        Err(InquireError::OperationInterrupted) => Err((Exit::Interrupted, "interrupted".to_owned())),
        Err(InquireError::OperationCanceled) => Ok(false),
        Err(error) => Err((Exit::Failed, format!("the terminal cannot be asked: {error}"))),
    }
}

fn wrapped(question: &str, columns: usize) -> String {
    let room = columns.saturating_sub(NAME.len() + 3);
    if room == 0 { question.to_owned() } else { paragraph(question, room).trim_end().to_owned() }
}

/// Restores the modes of the terminal when SIGTERM or SIGHUP ends the program, which raw mode would outlive. Ctrl-C is a
/// key in raw mode.
fn restore_after_signals() {
    let (caught, catches) = mpsc::channel();
    let wait = move || {
        let ended = app::block_on(async {
            let mut signals = [SignalKind::terminate(), SignalKind::hangup()].map(|kind| signal(kind).ok());
            let _ = caught.send(());
            let [terminate, hangup] = &mut signals;
            tokio::select! {
                () = app::caught(terminate) => SignalKind::terminate(),
                () = app::caught(hangup) => SignalKind::hangup(),
            }
        });
        if let Ok(kind) = ended {
            terminal::leave_question();
            // The status that a shell gives a program that the signal has ended.
            std::process::exit(128 + kind.as_raw_value());
        }
    };
    // Without the thread a signal ends the program as before.
    if std::thread::Builder::new().name("question".to_owned()).spawn(wait).is_ok() {
        let _ = catches.recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_broken_at_words() {
        let question = "discard 3 deliveries? osnl never attempts them again [y/N]";
        let expected = "discard 3 deliveries? osnl never\nattempts them again [y/N]";
        assert_eq!(wrapped(question, 40), expected);
        assert_eq!(wrapped(question, 100), question);
    }
}
