//! The lines of a screen, from counts, events and hosts: osnl above, the stand-ins below. Pure.

use std::time::Duration;

use crate::command::demo::board::{BoardRow, DemoBoard};
use crate::command::demo::stand_in::StandInHosts;
use crate::command::demo::summary::SummaryFigures;
use crate::terminal::{Size, Tone, TonedText, cell, pad, paint};

/// Everything on the screen but the events.
#[derive(Clone, Debug)]
pub(in super::super) struct Picture {
    /// The name of the target.
    pub(in super::super) target: &'static str,
    pub(in super::super) seed: u64,
    /// Events there will be.
    pub(in super::super) events: u64,
    pub(in super::super) elapsed: Duration,
    pub(in super::super) figures: SummaryFigures,
    /// The failure of the last request, if it failed.
    pub(in super::super) failing: Option<&'static str>,
    /// Osnl attempts nothing for the moment.
    pub(in super::super) held: bool,
    pub(in super::super) hosts: StandInHosts,
    /// Names of hosts that are gone, the last one last.
    pub(in super::super) gone: Vec<String>,
}

/// Lines for the title and the flow, and for the stand-ins; the events have the rest.
const ABOVE: usize = 8;
const BELOW: usize = 7;
const HOST_LINES: usize = 4;

type Spans = Vec<TonedText>;

/// At most as many lines as the size has, none longer than its width.
pub(super) fn lines(picture: &Picture, board: &DemoBoard, size: Size, colour: bool) -> Vec<String> {
    let mut lines = head(picture, board, size.width);
    let room = size.height.saturating_sub(ABOVE + BELOW);
    let skipped = board.rows().len().saturating_sub(room);
    lines.extend(board.rows().skip(skipped).map(|shown| row(shown, size.width)));
    lines.resize(ABOVE + room, Spans::new());
    lines.extend(stand_ins(picture, size.width));
    lines.truncate(size.height);
    lines.into_iter().map(|spans| paint(&spans, size.width, colour)).collect()
}

fn head(picture: &Picture, board: &DemoBoard, width: usize) -> Vec<Spans> {
    let SummaryFigures { received, unmatched, matched, unreadable, failed, delivered, .. } = picture.figures;
    let SummaryFigures { nothing_to_do, acknowledged, .. } = picture.figures;
    let in_work = received.saturating_sub(acknowledged);
    let retrying = board.rows().filter(|row| !row.settled && row.tone == Tone::Bad && row.number.is_some());
    let retrying = retrying.count();
    let failures = if failed > 0 { Tone::Bad } else { Tone::Dim };
    let columns: [(&str, [(Tone, String); 3]); 4] = [
        (
            "listener",
            [
                (Tone::Plain, format!("{received} received")),
                (Tone::Dim, format!("{unreadable} unreadable")),
                (Tone::Plain, String::new()),
            ],
        ),
        (
            "rules",
            [
                (Tone::Strong, format!("{matched} match")),
                (Tone::Dim, format!("{unmatched} do not")),
                (Tone::Plain, String::new()),
            ],
        ),
        (
            "journal",
            [
                (Tone::Plain, format!("{in_work} pending")),
                (if retrying > 0 { Tone::Bad } else { Tone::Dim }, format!("{retrying} retrying")),
                (Tone::Dim, format!("{acknowledged} acknowledged")),
            ],
        ),
        (
            "delivery",
            [
                (Tone::Good, format!("{delivered} delivered")),
                (failures, format!("{failed} retried")),
                (Tone::Dim, format!("{nothing_to_do} no action")),
            ],
        ),
    ];
    let each = (width - 2) / columns.len();
    let title = " osnl demo: the life of a small cloud";
    let clock = format!("seed {}, {:.1} s ", picture.seed, picture.elapsed.as_secs_f64());
    let mut lines = vec![
        vec![(Tone::Strong, pad(title, width.saturating_sub(clock.chars().count()))), (Tone::Dim, clock)],
        Spans::new(),
        rule(" osnl ", width),
    ];
    let mut flow: Spans = vec![(Tone::Plain, " ".to_owned())];
    for (number, (name, _)) in columns.iter().enumerate() {
        flow.push((Tone::Strong, (*name).to_owned()));
        if number + 1 < columns.len() {
            let dashes = "─".repeat(each.saturating_sub(name.chars().count() + 4));
            flow.push((Tone::Dim, format!(" {dashes}─► ")));
        }
    }
    lines.push(flow);
    for line in 0..3 {
        let cells = columns.iter().map(|(_, cells)| (cells[line].0, pad(&cells[line].1, each)));
        lines.push([(Tone::Plain, " ".to_owned())].into_iter().chain(cells).collect());
    }
    lines.push(Spans::new());
    lines
}

/// Columns of a row in front of its last one.
const BEFORE_WHY: usize = 50;

fn row(row: &BoardRow, width: usize) -> Spans {
    let number = row.number.map(|number| format!("#{number}")).unwrap_or_default();
    let dimmed = row.tone == Tone::Dim && !row.verdict.is_empty();
    let plain = if dimmed { Tone::Dim } else { Tone::Plain };
    let mark = if row.settled && row.tone == Tone::Good { "✓" } else { " " };
    vec![
        (Tone::Dim, format!(" {number:>5} ")),
        (plain, format!("{} ", cell(&row.event_type, 28))),
        (row.tone, format!("{} {mark} ", pad(row.verdict, 11))),
        (
            if row.tone == Tone::Bad { Tone::Plain } else { Tone::Dim },
            cell(&row.why, width.saturating_sub(BEFORE_WHY)),
        ),
    ]
}

fn stand_ins(picture: &Picture, width: usize) -> Vec<Spans> {
    let SummaryFigures { published, elsewhere, .. } = picture.figures;
    let state = match (picture.held, picture.failing) {
        (true, _) => (Tone::Bad, "fails; osnl holds its deliveries".to_owned()),
        (false, Some(failure)) => (Tone::Bad, format!("fails: {failure}")),
        (false, None) => (Tone::Good, "answers".to_owned()),
    };
    let mut lines = vec![
        rule(" stand-ins ", width),
        vec![
            (Tone::Plain, format!(" {}: ", picture.target)),
            state,
            (Tone::Plain, format!("; cloud: {published} events of {}", picture.events)),
            (Tone::Dim, format!("; {} for osnl, {elsewhere} others", published - elsewhere)),
        ],
    ];
    let mut hosts: Vec<String> = picture
        .hosts
        .values()
        .map(|host| format!("{:<10}{}", host.name, host.addresses.join(", ")))
        .collect();
    hosts.sort();
    for line in 0..HOST_LINES {
        let mut spans = vec![(Tone::Plain, "   ".to_owned())];
        for host in hosts.iter().skip(line).step_by(HOST_LINES) {
            spans.push((Tone::Plain, cell(host, (width - 3) / 2)));
        }
        lines.push(spans);
    }
    let fits = picture.gone.len().saturating_sub(width / 12);
    let gone = picture.gone[fits..].join(" ");
    lines.push(vec![(Tone::Dim, format!("   {:<10}{gone}", "removed"))]);
    lines
}

fn rule(title: &str, width: usize) -> Spans {
    let rest = "─".repeat(width.saturating_sub(3 + title.chars().count()));
    vec![(Tone::Dim, "───".to_owned()), (Tone::Strong, title.to_owned()), (Tone::Dim, rest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::stand_in::StandInHost;
    use crate::command::demo::voice::StoryLine;

    fn picture() -> Picture {
        let host = StandInHost { name: "web-1".to_owned(), addresses: vec!["10.0.0.11".to_owned()] };
        Picture {
            target: "inventory",
            seed: 1,
            events: 60,
            elapsed: Duration::from_millis(3400),
            figures: SummaryFigures {
                published: 41,
                elsewhere: 19,
                received: 22,
                failed: 2,
                ..SummaryFigures::default()
            },
            failing: None,
            held: false,
            hosts: StandInHosts::from([("a".to_owned(), host)]),
            gone: vec!["db-2".to_owned()],
        }
    }

    fn board(rows: usize) -> DemoBoard {
        let mut board = DemoBoard::default();
        for number in 1..=rows {
            let event_type = Some("port.delete.end");
            for (label, text) in [
                ("published", ""),
                (
                    "no match",
                    "because\x1b of a very long reason, which does not end before the line does, whatever its width may be on this terminal",
                ),
            ] {
                board.line(&StoryLine { number: Some(number), label, tone: Tone::Plain, text, event_type });
            }
        }
        board
    }

    #[test]
    fn a_screen_fits_its_size_and_shows_the_last_events() {
        for (width, height) in [(72, 18), (80, 24), (100, 30), (200, 60)] {
            for rows in [0, 3, 199] {
                let size = Size { width, height };
                let lines = lines(&picture(), &board(rows), size, false);
                assert_eq!(lines.len(), height, "{width}x{height}");
                for line in &lines {
                    assert!(line.chars().count() <= width && !line.contains('\x1b'), "{width}: {line}");
                }
                let text = lines.join("\n");
                for part in
                    ["41 events", "22 for osnl", "19 others", "2 retried", "web-1     10.0.0.11", "db-2"]
                {
                    assert!(text.contains(part), "{part}:\n{text}");
                }
                // A reason that is longer than its column ends in a mark.
                assert_eq!(lines.iter().any(|line| line.ends_with('…')), rows > 0 && width < 200, "{text}");
                let last = format!("#{rows} ");
                assert!(rows == 0 || text.contains(&last), "{last}:\n{text}");
            }
        }
    }

    #[test]
    fn the_state_of_the_target_is_shown() {
        for (held, failing, expected) in
            [(false, None, "answers"), (false, Some("503"), "fails: 503"), (true, Some("503"), "holds")]
        {
            let picture = Picture { held, failing, ..picture() };
            let lines = lines(&picture, &board(0), Size { width: 80, height: 24 }, false);
            assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
        }
    }

    #[test]
    fn colour_is_there_when_asked_for() {
        let size = Size { width: 80, height: 24 };
        assert!(lines(&picture(), &board(1), size, true).concat().contains("\x1b[1m"));
    }
}
