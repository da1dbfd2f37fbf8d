//! The output of `osnl check`: sentences, or one JSON object `{"usable", "errors", "warnings",
//! "explanation", "trial", "probes"}`; `probes` only with `--connect`.

use osnl::explain::Trial;
use osnl::native::{Probe, ProbeVerdict};
use serde_json::{Value, json};

use super::Note;
use crate::clean;
use crate::output;
use crate::terminal::Tone;

pub(super) struct CheckReport {
    pub(super) explanation: String,
    pub(super) warnings: Vec<Note>,
    pub(super) trial: Trial,
    pub(super) probes: Option<Vec<Probe>>,
}

impl CheckReport {
    pub(super) fn text(&self) -> String {
        let mut out: String = self.warnings.iter().map(|said| format!("warning: {}\n", said.text)).collect();
        out.push_str(&self.explanation);
        if self.trial.left_out > 0 {
            let Trial { tried, left_out, warnings: _, hopeless: _ } = &self.trial;
            out.push_str(&format!(
                "Actions were tried with {tried} examples of known events; {left_out} were left out, to end in time.\n"
            ));
        }
        let warnings = match self.warnings.len() {
            0 => String::new(),
            1 => "; there is 1 warning".to_owned(),
            n => format!("; there are {n} warnings"),
        };
        let hopeless: Vec<&str> = self.trial.hopeless.iter().map(|name| &**name).collect();
        out.push_str(&match &hopeless[..] {
            [] => format!("The configuration is valid{warnings}.\n"),
            [one] => format!("The action {one} would make only dead letters{warnings}.\n"),
            more => {
                format!("The actions {} would make only dead letters{warnings}.\n", more.join(", "))
            }
        });
        let Some(probes) = &self.probes else { return out };
        out.extend(probes.iter().map(|probe| format!("{probe}\n")));
        let count = |verdict| probes.iter().filter(|probe| probe.verdict == verdict).count();
        let (failed, warned) = (count(ProbeVerdict::Failed), count(ProbeVerdict::Warning));
        let (noted, unproven) = (count(ProbeVerdict::Note), count(ProbeVerdict::Unproven));
        let notes = if noted == 1 { "note" } else { "notes" };
        let others = [(noted, notes), (unproven, "untested")].into_iter().filter(|(count, _)| *count > 0);
        let others: String = others.map(|(count, word)| format!(", {count} {word}")).collect();
        let passive = match probes.iter().filter(|probe| probe.is_passive).count() {
            0 => String::new(),
            1 => " 1 target accepted a connection; no request was sent.".to_owned(),
            n => format!(" {n} targets accepted a connection; no request was sent."),
        };
        out.push_str(&match (failed, warned, noted + unproven) {
            (0, 0, 0) if !passive.is_empty() => {
                format!("{} checks: none failed.{passive}\n", probes.len())
            }
            (0, 0, 0) => format!("All {} checks passed.\n", probes.len()),
            (failed, warned, _) => {
                let warned = if warned == 1 { "1 warning".to_owned() } else { format!("{warned} warnings") };
                format!("{} checks: {failed} failed, {warned}{others}.{passive}\n", probes.len())
            }
        });
        out
    }

    pub(super) fn json(&self) -> String {
        let mut all = json!({
            "usable": true,
            "errors": [],
            "warnings": self.warnings.iter().map(said).collect::<Vec<_>>(),
            "explanation": self.explanation.lines().collect::<Vec<_>>(),
            "trial": {
                "tried": self.trial.tried,
                "left_out": self.trial.left_out,
                "only_dead_letters": self.trial.hopeless.iter().map(|name| &**name).collect::<Vec<_>>(),
            },
        });
        if let Some(probes) = &self.probes {
            all["probes"] = probes.iter().map(probe).collect();
        }
        // A probe repeats the answers of brokers and targets, which may hold control characters.
        clean::json(format!("{all}\n"))
    }
}

/// Names the section of a k2hr3_osnl.conf in advice about its options. Other options, and several topics, need osnl's own
/// form.
pub(super) fn advise_in_form_of_k2hr3_osnl(probe: &mut Probe) {
    const OURS: &str = "[listener:k2hr3_osnl]";
    const ITS: &str = "[oslo_messaging_notifications]";
    const OUR_OPTIONS: [&str; 4] = ["durable", "queue_type", "priorities", "topics = "];
    probe.found = probe.found.replace(OURS, ITS);
    let Some(advice) = &mut probe.advice else { return };
    if advice.contains("osnl.conf") {
        return;
    }
    let topics = advice.strip_prefix("topics = ").and_then(|rest| rest.split_once(' '));
    if let Some((topic, rest)) = topics.filter(|(topic, _)| !topic.ends_with(',')) {
        *advice = format!("topic = {topic} {rest}");
    }
    *advice = match OUR_OPTIONS.iter().any(|option| advice.contains(option)) {
        true => advice.replace(OURS, &format!("{OURS} of osnl's own form")),
        false => advice.replace(OURS, ITS),
    };
}

pub(super) fn refused(errors: &[Note]) -> String {
    let errors: Vec<Value> = errors.iter().map(said).collect();
    format!("{}\n", json!({ "usable": false, "errors": errors, "warnings": [], "explanation": [] }))
}

pub(super) fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    let first = line.split([' ', ':']).next().unwrap_or_default();
    let tone = match first {
        "failed" => Tone::Bad,
        "warning" | "untested" => Tone::Warn,
        "ok" => Tone::Good,
        _ if line.starts_with("The configuration is valid") => return output::all(Tone::Good, line),
        _ if line.contains(" would make only dead letters") => return output::all(Tone::Bad, line),
        _ => return None,
    };
    Some((tone, 0..first.len()))
}

fn said(said: &Note) -> Value {
    let mut all = json!({ "text": said.text });
    if let Some(finding) = &said.finding {
        all["file"] = json!(finding.file);
        all["line"] = json!(finding.line);
        all["column"] = json!(finding.column);
        all["section"] = json!(finding.group);
        all["option"] = json!(finding.option);
        all["problem"] = json!(finding.problem);
        all["allowed"] = json!(finding.allowed);
        all["suggestion"] = json!(finding.suggestion);
    }
    all
}

fn probe(probe: &Probe) -> Value {
    json!({
        "section": probe.section,
        "what": probe.what,
        "verdict": probe.verdict.as_str(),
        "found": probe.found,
        "passive": probe.is_passive,
        "advice": probe.advice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_a_section_that_the_file_of_k2hr3_osnl_has() {
        let probe = Probe::new("listener:k2hr3_osnl", "queue k2hr3_osnl");
        for (advice, expected) in [
            (
                "write a pool of its own in [listener:k2hr3_osnl]; to see the consumers: rabbitmqctl",
                "write a pool of its own in [oslo_messaging_notifications]; to see the consumers: rabbitmqctl",
            ),
            (
                "name virtual host /v in transport_url of [listener:k2hr3_osnl]",
                "name virtual host /v in transport_url of [oslo_messaging_notifications]",
            ),
            (
                "queue_type = quorum and another pool in [listener:k2hr3_osnl]",
                "queue_type = quorum and another pool in [listener:k2hr3_osnl] of osnl's own form",
            ),
            (
                "topics = versioned in [listener:k2hr3_osnl]",
                "topic = versioned in [oslo_messaging_notifications]",
            ),
            (
                "topics = one, two in [listener:k2hr3_osnl]",
                "topics = one, two in [listener:k2hr3_osnl] of osnl's own form",
            ),
            (
                "write in [listener:k2hr3_osnl] of an osnl.conf: management_url = https://HOST:15671/",
                "write in [listener:k2hr3_osnl] of an osnl.conf: management_url = https://HOST:15671/",
            ),
        ] {
            let mut probe =
                probe.clone().warning("it is bound; [listener:k2hr3_osnl] does not name it", advice);
            advise_in_form_of_k2hr3_osnl(&mut probe);
            assert_eq!(probe.advice.as_deref(), Some(expected));
            assert_eq!(probe.found, "it is bound; [oslo_messaging_notifications] does not name it");
        }
    }
}
