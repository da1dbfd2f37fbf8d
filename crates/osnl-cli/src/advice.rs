//! Words that other programs have as commands, flags of other commands, and what does the same here.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

pub(crate) const ADVICE: [(&[&str], &str); 15] = [
    (&["start"], "systemctl start osnl, or in this terminal: osnl run"),
    (&["stop"], "systemctl stop osnl; to stop the deliveries to one target: osnl actions pause ACTION"),
    (&["restart"], "systemctl restart osnl; for a changed configuration: osnl reload"),
    (&["logs", "log"], "journalctl -u osnl, or the file of log_file"),
    (&["list", "ls"], "osnl deliveries list, osnl actions list, or osnl quarantine list"),
    (&["show"], "osnl deliveries show ID, osnl quarantine show ID, or osnl config show"),
    (&["dead"], "osnl deliveries list --state dead"),
    (&["retry"], "osnl deliveries retry ID, or osnl deliveries retry --action ACTION"),
    (&["discard"], "osnl deliveries discard ID, or osnl quarantine discard ID"),
    (&["release"], "osnl deliveries release ID"),
    (&["pause"], "osnl actions pause ACTION"),
    (&["resume"], "osnl actions resume ACTION"),
    (&["probe"], "osnl actions probe ACTION"),
    (&["health", "top"], "osnl status, or osnl status --watch"),
    (&["validate", "lint"], "osnl check"),
];

const FLAGS: [(&[&str], &str); 2] = [
    (
        &["--check", "--doctor"],
        "osnl queues looks at exchanges and queues, osnl check --connect at all that is configured",
    ),
    (
        &["--k2hr3-osnl", "--oss-watcher"],
        "under this name osnl has no control socket; its log says how it is",
    ),
];

pub(crate) fn advised(mut error: Error) -> Error {
    let (typed, known) = match error.kind() {
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, &ADVICE[..]),
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, &FLAGS[..]),
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(typed) else { return error };
    let known = known.iter().find(|(words, _)| words.contains(&typed.as_str()));
    // No value here begins with two dashes, so the tip to pass one after -- leads wrong.
    if typed.starts_with("--")
        && let Some(ContextValue::StyledStrs(tips)) = error.remove(ContextKind::Suggested)
    {
        let others = tips.into_iter().filter(|tip| !tip.to_string().contains("as a value"));
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(others));
        }
    }
    if let Some((_, advice)) = known {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*advice).into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn a_flag_of_another_command_leads_there() {
        let command = Command::new("osnl").arg(Arg::new("watch").long("watch").num_args(0));
        for (flag, advice) in [("--check", "osnl queues"), ("--oss-watcher", "no control socket")] {
            let error = command.clone().try_get_matches_from(["osnl", flag]).unwrap_err();
            let said = advised(error).to_string();
            assert!(said.contains(advice) && !said.contains("'--watch'"), "{said}");
        }
    }

    #[test]
    fn an_unknown_option_is_not_offered_as_a_value() {
        let command = Command::new("osnl").arg(Arg::new("name")).arg(Arg::new("action").long("action"));
        for (typed, similar) in [("--acton", true), ("--type", false)] {
            let error = command.clone().try_get_matches_from(["osnl", typed]).unwrap_err();
            let said = advised(error).to_string();
            assert_eq!(
                (said.contains("as a value"), said.contains("'--action'")),
                (false, similar),
                "{said}"
            );
        }
    }
}
