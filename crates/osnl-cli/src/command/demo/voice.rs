//! The forms of the story: lines of text, lines of JSON, or a live screen.
//!
//! | voice | when | what |
//! | --- | --- | --- |
//! | plain | stdout is no terminal, or one that cannot be drawn on | a line for each thing that happens |
//! | JSON | `--format json` | the same, one object per line: `at` (seconds), `message` (its number), `by`, `what`, `text`; the last line is `{"summary": {…}}` |
//! | board | stdout is a terminal | nothing is printed: the [`DemoBoard`] is kept for `screen.rs` |

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use super::board::DemoBoard;
use super::summary::Summary;
pub(super) use crate::terminal::Tone;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoryLine<'a> {
    /// The message it is about, if it is about one.
    pub(super) number: Option<usize>,
    /// The occurrence in a word or two.
    pub(super) label: &'a str,
    pub(super) tone: Tone,
    pub(super) text: &'a str,
    /// The event type of a message that is published.
    pub(super) event_type: Option<&'a str>,
}

/// See the [module](self).
pub(super) enum DemoVoice {
    Plain { colour: bool },
    Json { since: Instant },
    Board(Arc<Mutex<DemoBoard>>),
}

impl DemoVoice {
    pub(super) fn line(&self, line: &StoryLine<'_>) {
        let text = line.text.replace(['\r', '\n'], " ");
        match self {
            Self::Plain { .. } => {
                let number = line.number.map(|number| format!("#{number}")).unwrap_or_default();
                let by = actor(line.label);
                self.print(line.tone, &format!("{number:>4}  {by:<7} {:<11}{text}", line.label));
            }
            Self::Json { since } => {
                let at = (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                let mut object = json!({"at": at, "by": actor(line.label), "what": line.label, "text": text});
                if let Some(number) = line.number {
                    object["message"] = number.into();
                }
                write(&object.to_string());
            }
            Self::Board(board) => board.lock().unwrap_or_else(PoisonError::into_inner).line(line),
        }
    }

    /// Announces the next part in a few words. JSON has no headings.
    pub(super) fn heading(&self, text: &str) {
        self.print(Tone::Plain, "");
        self.print(Tone::Strong, text);
    }

    /// Prose.
    pub(super) fn text(&self, text: &str) {
        self.print(Tone::Plain, text);
    }

    /// The end.
    pub(super) fn summary(&self, summary: &Summary) {
        match self {
            Self::Plain { .. } => {
                self.heading("Summary");
                summary.lines().iter().for_each(|line| self.text(line));
                let (tone, text) = summary.verdict();
                self.print(tone, text);
            }
            Self::Json { .. } => write(&json!({"summary": summary.json()}).to_string()),
            Self::Board(_) => {}
        }
    }

    fn print(&self, tone: Tone, text: &str) {
        match self {
            Self::Plain { colour: true } => write(&tone.paint(text)),
            Self::Plain { colour: false } => write(text),
            Self::Json { .. } | Self::Board(_) => {}
        }
    }
}

/// Names the part that does what a line tells: osnl, or a stand-in.
fn actor(label: &str) -> &'static str {
    match label {
        "published" | "is" | "registers" => "cloud",
        "unrouted" => "broker",
        "is at" | "holds" | "fails" | "answer" => "target",
        _ => "osnl",
    }
}

fn write(line: &str) {
    // A reader that has gone, such as `head`, does not end the demo.
    let _ = writeln!(std::io::stdout(), "{line}");
}
