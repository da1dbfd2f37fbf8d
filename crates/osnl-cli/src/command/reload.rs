use clap::Args;
use osnl::control::{ControlRequest, ReloadResult};
use osnl::daemon::ReloadRefusalReason;

use super::asking::{NoAnswer, Respondent, print, print_json, short};
use super::sources;
use crate::exit::Exit;
use crate::flags::{FormatArgs, OutputFormat, PlaceArgs};

/// The flags of `osnl reload`.
#[derive(Debug, Args)]
#[command(
    mut_arg("config_file", |arg| arg.help("Only its state_dir is used, to find the daemon [default: /etc/osnl/osnl.conf]")),
    mut_arg("config_dir", |arg| arg.help("Folder of *.conf files, only used to find the daemon")),
    after_help = "The daemon reads the files that it was started with. Exits with 0, also if nothing has changed; \
                  78 if the configuration is wrong; 1 if a change needs a restart, or a listener would leave a queue \
                  that is not known to be empty; 69 if no daemon answers.\n\n\
                  Examples:\n  osnl reload\n  osnl reload --format json | jq '.changes[].section'"
)]
#[command(after_long_help = "\
    The daemon reads again the files and folders that it was started with. Its environment variables and \
    flags still override them. If the configuration is wrong, needs a restart, or names a file that cannot \
    be read, nothing changes.")]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

pub(crate) fn run(args: &ReloadArgs) -> Exit {
    let reloaded = match ask(args) {
        Ok(reloaded) => reloaded,
        Err(error) => return error.complain(),
    };
    let printed = match args.format.format {
        OutputFormat::Text => {
            sources::complain(&reloaded.errors.join("\n"));
            print(&text(&reloaded))
        }
        OutputFormat::Json => print_json(&reloaded),
    };
    match (reloaded.reason, printed) {
        (None, printed) => printed,
        (Some(ReloadRefusalReason::Configuration), _) => Exit::Config,
        (
            Some(
                ReloadRefusalReason::NeedsRestart
                | ReloadRefusalReason::Unusable
                | ReloadRefusalReason::QueueNotEmpty
                | ReloadRefusalReason::Unsupported,
            ),
            _,
        ) => Exit::Failed,
    }
}

fn ask(args: &ReloadArgs) -> Result<ReloadResult, NoAnswer> {
    let daemon = Respondent::for_daemon(&args.place)?;
    daemon.ask(&ControlRequest::Reload { by: super::deliveries::who::asks() })
}

fn text(reloaded: &ReloadResult) -> String {
    if !reloaded.reloaded {
        return "not reloaded: nothing changed; the daemon continues with its previous configuration\n"
            .to_owned();
    }
    let mut text = match reloaded.changes.len() {
        0 => "reloaded: the configuration is the same as before\n".to_owned(),
        1 => "reloaded: 1 section has changed\n".to_owned(),
        sections => format!("reloaded: {sections} sections have changed\n"),
    };
    for change in &reloaded.changes {
        text.push_str(&format!("  {}\n", short(&change.to_string(), 1000)));
    }
    for warning in &reloaded.warnings {
        text.push_str(&format!("! {}\n", short(warning, 1000)));
    }
    text
}

#[cfg(test)]
mod tests {
    use osnl::daemon::SectionChange;
    use osnl::daemon::SectionChangeKind;

    use super::*;

    #[test]
    fn what_has_changed_is_a_line_each() {
        let nothing = ReloadResult {
            reloaded: true,
            changes: Vec::new(),
            warnings: Vec::new(),
            reason: None,
            errors: Vec::new(),
        };
        assert_eq!(text(&nothing), "reloaded: the configuration is the same as before\n");
        let change = SectionChange {
            section: "action:roles".to_owned(),
            what: SectionChangeKind::Changed,
            options: vec!["api_url".to_owned(), "timeout".to_owned()],
            effect: "applies to the next attempt".to_owned(),
        };
        let one = ReloadResult {
            changes: vec![change],
            warnings: vec!["mind\x1b[2J".to_owned()],
            ..nothing.clone()
        };
        assert_eq!(
            text(&one),
            "reloaded: 1 section has changed\n  \
             [action:roles] changed (api_url, timeout): applies to the next attempt\n! mind\\x1b[2J\n",
        );
        let refused =
            ReloadResult { reloaded: false, reason: Some(ReloadRefusalReason::NeedsRestart), ..nothing };
        assert!(text(&refused).starts_with("not reloaded"));
    }
}
