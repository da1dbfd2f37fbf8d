//! The messages on the screen: the last of them, each with its progress and the reason.

use std::collections::VecDeque;

use super::voice::{StoryLine, Tone};

/// More rows than any screen has lines.
const KEPT: usize = 200;

/// See the [module](self). The last row is the latest.
#[derive(Debug, Default)]
pub(super) struct DemoBoard {
    rows: VecDeque<BoardRow>,
}

/// One message, or a remark about none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoardRow {
    pub(super) number: Option<usize>,
    pub(super) event_type: String,
    /// Its progress in a word or two.
    pub(super) verdict: &'static str,
    pub(super) tone: Tone,
    pub(super) why: String,
    /// The broker has forgotten it.
    pub(super) settled: bool,
}

impl DemoBoard {
    /// The rows, the latest last.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &BoardRow> + ExactSizeIterator {
        self.rows.iter()
    }

    pub(super) fn line(&mut self, line: &StoryLine<'_>) {
        if line.label == "published" {
            self.push(BoardRow {
                number: line.number,
                event_type: line.event_type.unwrap_or("(unreadable)").to_owned(),
                verdict: "",
                tone: Tone::Plain,
                why: String::new(),
                settled: false,
            });
            return;
        }
        let Some(number) = line.number else {
            if let Some((verdict, tone)) = remark(line.label) {
                let why = line.text.to_owned();
                let event_type = String::new();
                self.push(BoardRow { number: None, event_type, verdict, tone, why, settled: false });
            }
            return;
        };
        let Some(row) = self.rows.iter_mut().rev().find(|row| row.number == Some(number)) else { return };
        if line.label == "settled" {
            row.settled = true;
        } else if line.label == "answer" {
            row.why = line.text.to_owned();
        } else if let Some((verdict, tone)) = verdict(line.label) {
            row.verdict = verdict;
            row.tone = tone;
            if let Some(why) = brief(line.label, line.text) {
                row.why = why.to_owned();
            }
        }
    }

    fn push(&mut self, row: BoardRow) {
        self.rows.push_back(row);
        if self.rows.len() > KEPT {
            self.rows.pop_front();
        }
    }
}

/// Returns the progress that a line's label stands for.
fn verdict(label: &str) -> Option<(&'static str, Tone)> {
    Some(match label {
        "is" => ("", Tone::Dim),
        "unrouted" => ("no queue", Tone::Dim),
        "no match" => ("no match", Tone::Dim),
        "match" => ("match", Tone::Strong),
        "request" => ("request", Tone::Strong),
        "retry" => ("retrying", Tone::Bad),
        "held" | "waits" => ("held", Tone::Bad),
        "done" => ("delivered", Tone::Good),
        "unreadable" => ("quarantined", Tone::Bad),
        "unsettled" => ("returned", Tone::Bad),
        _ => return None,
    })
}

/// Returns the part of a text that fits a row; `None` where the label says it better.
fn brief<'a>(label: &str, text: &'a str) -> Option<&'a str> {
    match label {
        // The note says more than that no queue is bound to it.
        "unrouted" => None,
        // The answer says it in fewer words than the log.
        "done" if text.starts_with("delivered ") => None,
        // The event type stands beside it.
        "no match" => Some(text.split_once(", which ").map_or(text, |(_, reason)| reason)),
        "unreadable" => Some(text.split_once("set aside; ").map_or(text, |(_, reason)| reason)),
        _ => Some(text),
    }
}

/// Returns the remark for a label that deserves a row though it is about no message.
fn remark(label: &str) -> Option<(&'static str, Tone)> {
    Some(match label {
        "registers" => ("registers", Tone::Plain),
        "warning" => ("warning", Tone::Bad),
        "error" => ("error", Tone::Bad),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lines: &[(&str, &str)]) -> (&'static str, String, bool) {
        let mut board = DemoBoard::default();
        for (label, text) in lines {
            let event_type = Some("port.delete.end");
            board.line(&StoryLine { number: Some(1), label, tone: Tone::Plain, text, event_type });
        }
        let row = board.rows().next().unwrap();
        assert_eq!(row.event_type, "port.delete.end");
        (row.verdict, row.why.clone(), row.settled)
    }

    #[test]
    fn a_row_shows_where_its_message_has_got_to() {
        let mut lines = vec![("published", "p")];
        for (line, expected) in [
            (("is", "a port goes"), ("", "a port goes", false)),
            (("match", "rule x"), ("match", "rule x", false)),
            (("request", "DELETE /"), ("request", "DELETE /", false)),
            (("answer", "503"), ("request", "503", false)),
            (("retry", "503; again"), ("retrying", "503; again", false)),
            (("answer", "204: forgets x"), ("retrying", "204: forgets x", false)),
            (("done", "delivered DELETE"), ("delivered", "204: forgets x", false)),
            (("settled", "acknowledged"), ("delivered", "204: forgets x", true)),
        ] {
            lines.push(line);
            let (verdict, why, settled) = row(&lines);
            assert_eq!((verdict, why.as_str(), settled), expected, "{line:?}");
        }
    }

    #[test]
    fn a_row_says_what_there_is_room_for() {
        for (line, expected) in [
            (("unrouted", "no queue"), "a login"),
            (
                ("no match", r#"rule x: event_type is "a", which does not match "^b$""#),
                r#"does not match "^b$""#,
            ),
            (("no match", "rule x: no payload"), "rule x: no payload"),
            (("unreadable", "message cannot be read; set aside; no JSON"), "no JSON"),
            (("done", "nothing to do: no instance"), "nothing to do: no instance"),
        ] {
            assert_eq!(row(&[("published", ""), ("is", "a login"), line]).1, expected, "{line:?}");
        }
    }

    #[test]
    fn the_board_is_bounded() {
        let mut board = DemoBoard::default();
        for number in 0..KEPT + 5 {
            let number = Some(number);
            board.line(&StoryLine {
                number,
                label: "published",
                tone: Tone::Plain,
                text: "",
                event_type: None,
            });
        }
        assert_eq!(board.rows().len(), KEPT);
        assert_eq!(board.rows().next_back().unwrap().number, Some(KEPT + 4));
    }
}
