//! JSON has `at` (seconds), `message` (its number), `by`, `what`, and `text`; the last line is
//! `{"summary": {…}}`.

use std::io::Write as _;
use std::time::Instant;

use serde_json::json;

use super::summary::Summary;
pub(super) use crate::terminal::Tone;

pub(super) enum Printer {
    Text { colour: bool },
    Json { since: Instant },
}

impl Printer {
    pub(super) fn line(&self, number: Option<usize>, label: &str, tone: Tone, text: &str) {
        let text = text.replace(['\r', '\n'], " ");
        match self {
            Self::Text { .. } => {
                let number = number.map(|number| format!("#{number}")).unwrap_or_default();
                let by = actor(label);
                self.print(tone, &format!("{number:>4}  {by:<7} {label:<11}{text}"));
            }
            Self::Json { since } => {
                let at = (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                let mut object = json!({"at": at, "by": actor(label), "what": label, "text": text});
                if let Some(number) = number {
                    object["message"] = number.into();
                }
                write(&object.to_string());
            }
        }
    }

    pub(super) fn heading(&self, text: &str) {
        self.print(Tone::Plain, "");
        self.print(Tone::Strong, text);
    }

    pub(super) fn text(&self, text: &str) {
        self.print(Tone::Plain, text);
    }

    pub(super) fn summary(&self, summary: &Summary) {
        match self {
            Self::Text { .. } => {
                self.heading("Summary");
                summary.lines().iter().for_each(|line| self.text(line));
                let (tone, text) = summary.verdict();
                self.print(tone, text);
            }
            Self::Json { .. } => write(&json!({"summary": summary.json()}).to_string()),
        }
    }

    fn print(&self, tone: Tone, text: &str) {
        match self {
            Self::Text { colour: true } => write(&tone.paint(text)),
            Self::Text { colour: false } => write(text),
            Self::Json { .. } => {}
        }
    }
}

fn actor(label: &str) -> &'static str {
    match label {
        "published" => "cloud",
        "unrouted" => "broker",
        "is at" | "holds" | "fails" | "answer" => "target",
        _ => "osnl",
    }
}

fn write(line: &str) {
    // A closed pipe, such as of `head`, does not end the demo.
    let _ = writeln!(std::io::stdout(), "{line}");
}
