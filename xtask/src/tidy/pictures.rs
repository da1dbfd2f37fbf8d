//! Every message of the configuration's code has its picture in `fixtures/errors`, or its place in [`elsewhere`].
//!
//! The messages are read from the source, so that one which is new is missed here and not at night. Where a file holds
//! more than refusals (the commands), only the texts of [`messages::refusals`] count.

mod elsewhere;
mod messages;

use std::path::Path;

use anyhow::{Context as _, Result};

use self::elsewhere::ELSEWHERE;
use self::messages::MessageLiteral;
use super::Violation;

/// The folder of the pictures, which a test runs.
const GALLERY: &str = "fixtures/errors/";

/// Files and folders whose every text is a message, from the root of the repository.
const SPEAKING: &[&str] = &[
    "crates/osnl/src/assembly",
    "crates/osnl-actions/src/driver",
    "crates/osnl-config/src",
    "crates/osnl/src/native",
    "crates/osnl-k2hr3/src/conf",
    "crates/osnl-oss/src/conf",
    "crates/osnl-core/src/rule",
    "crates/osnl-template/src",
    "crates/osnl-delivery/src/enrich/conf",
    "crates/osnl-journal/src/sqlite.rs",
    "crates/osnl-journal/src/sqlite/place.rs",
    "crates/osnl/src/saved.rs",
    "crates/osnl-actions/src/transport_url.rs",
    "crates/osnl-actions/src/dump/conf",
    "crates/osnl-actions/src/exec/conf",
    "crates/osnl-actions/src/exec/words.rs",
    "crates/osnl-actions/src/file/conf",
    "crates/osnl-actions/src/http_request/conf",
    "crates/osnl-actions/src/http_request/sign.rs",
    "crates/osnl-actions/src/http_request/statuses.rs",
    "crates/osnl-actions/src/k2hr3/conf",
    "crates/osnl-actions/src/k2hr3_register/conf",
    "crates/osnl-actions/src/mail/conf",
    "crates/osnl-oss/src/rest/conf",
    "crates/osnl-actions/src/publish/conf",
    "crates/osnl-oss/src/python/conf.rs",
    "crates/osnl-actions/src/syslog/conf",
    "crates/osnl-http/src/url.rs",
    "crates/osnl-model/src/filter",
    "crates/osnl-model/src/transport_url",
    "crates/osnl-openstack/src/clouds",
    "crates/osnl-openstack/src/conf",
    "crates/osnl-transport/src/rabbit/options",
];

/// Files whose refusals are messages; what else they say are answers.
const REFUSING: [&str; 18] = [
    "crates/osnl-cli/src/flags",
    "crates/osnl-cli/src/command/asking.rs",
    "crates/osnl-cli/src/command/deliveries",
    "crates/osnl-cli/src/command/demo/args.rs",
    "crates/osnl-cli/src/command/events.rs",
    "crates/osnl-cli/src/command/explain",
    "crates/osnl-cli/src/command/k2hr3_osnl.rs",
    "crates/osnl-cli/src/command/oss_watcher.rs",
    "crates/osnl-cli/src/command/replay",
    "crates/osnl-cli/src/command/run.rs",
    "crates/osnl-cli/src/command/saved_events.rs",
    "crates/osnl-cli/src/command/send",
    "crates/osnl-cli/src/command/sources.rs",
    "crates/osnl-cli/src/command/tap/args.rs",
    "crates/osnl-cli/src/command/tap/condition.rs",
    "crates/osnl-cli/src/command/tap/plan.rs",
    "crates/osnl-cli/src/command/tap/url.rs",
    "crates/osnl-cli/src/command/test",
];

/// Parts of those folders that refuse nothing: what `check` explains, probes and previews, the reference, what a reload
/// tells, tests; and a shared journal, which the default build has not: tests/shared_journal/checked.rs of the program.
const SILENT: [&str; 16] = [
    "/tests/",
    "/tests.rs",
    "/differential",
    "native/explain.rs",
    "native/members.rs",
    "native/reference",
    "native/probe",
    "native/preview.rs",
    "assembly/exits.rs",
    "assembly/reload_summary.rs",
    "osnl-actions/src/driver/probe",
    "osnl-actions/src/driver/preview.rs",
    "native/document.rs",
    "k2hr3/conf/manual.rs",
    "osnl-oss/src/conf/shown.rs",
    "rule/counts.rs",
];

/// All violations: messages without a picture, and exceptions that nothing needs any more.
pub(super) fn check(root: &Path, paths: &[String]) -> Result<Vec<Violation>> {
    let mut said = String::new();
    for path in paths.iter().filter(|path| path.starts_with(GALLERY)) {
        let text = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        said.extend(shown(&text));
    }
    let mut violations = Vec::new();
    let mut needed = vec![false; ELSEWHERE.len()];
    for path in paths.iter().filter(|path| path.ends_with(".rs")) {
        let Some(messages) = messages_of(root, path)? else { continue };
        for MessageLiteral { line, text, plain } in messages {
            if messages::is_in(&text, &said) || said.contains(&plain) {
                continue;
            }
            let excepted =
                ELSEWHERE.iter().position(|(file, known, _)| path.ends_with(file) && text == *known);
            match excepted {
                Some(at) => needed[at] = true,
                None => violations.push(Violation {
                    path: path.clone(),
                    line,
                    text: format!(
                        "\"{text}\" has no picture: add what leads to it to a file of {GALLERY}, run its test with \
                         OSNL_UPDATE_SNAPSHOTS=1, and read what it looks like"
                    ),
                }),
            }
        }
    }
    for ((file, text, _), needed) in ELSEWHERE.iter().zip(needed) {
        if !needed {
            let text = format!("\"{text}\" of {file} needs no exception any more: remove it");
            violations.push(Violation {
                path: "xtask/src/tidy/pictures/elsewhere.rs".to_owned(),
                line: 0,
                text,
            });
        }
    }
    Ok(violations)
}

/// Returns the output lines of a picture.
fn shown(picture: &str) -> impl Iterator<Item = String> + '_ {
    let mut running = false;
    picture.lines().filter_map(move |line| {
        running |= line.starts_with("== $ ");
        (running && !line.starts_with("== ")).then(|| format!("{line}\n"))
    })
}

/// Those of a file that is looked at.
fn messages_of(root: &Path, path: &str) -> Result<Option<Vec<MessageLiteral>>> {
    let within = |all: &[&str]| all.iter().any(|begin| path.starts_with(begin));
    let of: fn(&str) -> Option<Vec<MessageLiteral>> = match (within(SPEAKING), within(&REFUSING)) {
        (true, _) => messages::all,
        (false, true) => messages::refusals,
        (false, false) => return Ok(None),
    };
    if SILENT.iter().any(|part| path.contains(part)) {
        return Ok(None);
    }
    let source = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
    of(&source).with_context(|| format!("{path} cannot be read as Rust")).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_picture_counts_what_was_said() {
        let picture = "a title\n== file x\nfirst\n== $ osnl check\nsecond\n== exit 78\n== $ osnl\nthird\n";
        assert_eq!(shown(picture).collect::<String>(), "second\nthird\n");
    }

    #[test]
    fn a_message_that_is_new_is_missed() {
        let root = std::env::temp_dir().join(format!("osnl-pictures-{}", std::process::id()));
        let source = "crates/osnl/src/saved.rs";
        std::fs::create_dir_all(root.join("crates/osnl/src")).unwrap();
        std::fs::create_dir_all(root.join(GALLERY)).unwrap();
        std::fs::write(root.join(GALLERY).join("a.txt"), "== $ osnl\nthere is no \"x\" here; go on\n")
            .unwrap();
        let code = "#[error(\"there is no {name:?} here; {advice}\")] fn f() { g(\"never seen at all\") }";
        std::fs::write(root.join(source), code).unwrap();
        let paths = [format!("{GALLERY}a.txt"), source.to_owned()];
        let found = check(&root, &paths).unwrap();
        let found: Vec<&Violation> = found.iter().filter(|violation| violation.path == source).collect();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].line == 1 && found[0].text.starts_with("\"never seen at all\""), "{found:?}");
    }
}
