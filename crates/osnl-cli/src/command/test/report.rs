use serde_json::json;

use super::args::TestFormat;
use super::file::Case;
use crate::command::saved_events::{StandardOutput, masked};
use crate::exit::Exit;
use crate::terminal::Tone;

pub(super) struct TestOutcome<'a> {
    pub(super) case: &'a Case,
    pub(super) problems: Vec<String>,
}

impl TestOutcome<'_> {
    pub(super) fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    fn place(&self) -> String {
        format!("{}:{}", self.case.file.display(), self.case.line)
    }
}

pub(super) fn print(format: TestFormat, outcomes: &[TestOutcome<'_>], exit: Exit) -> Exit {
    let mut out =
        if format == TestFormat::Text { StandardOutput::tinted(tint) } else { StandardOutput::plain() };
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    match format {
        TestFormat::Text => {
            for outcome in outcomes {
                let word = if outcome.passed() { "ok    " } else { "FAILED" };
                out.line(&masked(&format!("{word}  {}: {}", outcome.place(), outcome.case.name)));
                outcome.problems.iter().for_each(|problem| out.line(&masked(&format!("        {problem}"))));
            }
            out.line(&match (outcomes.len(), failed) {
                (1, 0) => "1 test passes".to_owned(),
                (count, 0) => format!("{count} tests pass"),
                (count, failed) => format!("{failed} of {count} tests failed"),
            });
        }
        TestFormat::Json => {
            for outcome in outcomes {
                let (name, file, line) = (&outcome.case.name, &outcome.case.file, outcome.case.line);
                let events = outcome.case.events.len();
                out.json(
                    json!({"test": name, "file": file.display().to_string(), "line": line, "events": events,
                                "passed": outcome.passed(), "problems": outcome.problems}),
                );
            }
            out.json(json!({"summary": {"tests": outcomes.len(), "failed": failed}}));
        }
        TestFormat::Junit => out.line(&junit(outcomes, failed)),
    }
    out.end(exit)
}

fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    let tone = if line.starts_with("FAILED") || line.ends_with("failed") {
        Tone::Bad
    } else if line.starts_with("ok ") || line.ends_with(" pass") || line.ends_with(" passes") {
        Tone::Good
    } else {
        return None;
    };
    Some((tone, 0..if line.starts_with("ok ") { 2 } else { line.len() }))
}

fn junit(outcomes: &[TestOutcome<'_>], failed: usize) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"osnl\" tests=\"{}\" failures=\"{failed}\">\n",
        outcomes.len()
    );
    for outcome in outcomes {
        let (name, file) = (xml(&outcome.case.name), xml(&outcome.case.file.display().to_string()));
        text.push_str(&format!(
            "  <testcase name=\"{name}\" classname=\"{file}\" line=\"{}\"",
            outcome.case.line
        ));
        if outcome.passed() {
            text.push_str("/>\n");
        } else {
            let problems = xml(&outcome.problems.join("\n"));
            text.push_str(&format!(">\n    <failure>{problems}</failure>\n  </testcase>\n"));
        }
    }
    text.push_str("</testsuite>");
    text
}

fn xml(text: &str) -> String {
    let mut out = String::new();
    for line in text.split('\n') {
        for c in masked(line).chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                c if c.is_control() => out.push('\u{fffd}'),
                c => out.push(c),
            }
        }
        out.push('\n');
    }
    out.pop();
    out
}
