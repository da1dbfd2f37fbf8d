//! Words that other programs have as commands, and what does the same here.

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

pub(crate) fn advised(mut error: Error) -> Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let known = ADVICE.iter().find(|(words, _)| words.contains(&typed.as_str()));
    if let Some((_, advice)) = known {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*advice).into()]));
    }
    error
}
