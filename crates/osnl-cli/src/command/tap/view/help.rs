use ratatui::style::Stylize as _;
use ratatui::text::Line;

/// Keys and their effect. An entry without keys is a title; an entry with a space as keys continues
/// the row above.
const TEXT: &[(&str, &str)] = &[
    ("", "Everywhere"),
    ("q, Ctrl-C", "quit; a summary stays on the screen"),
    ("Tab", "switch between the list and the events per second"),
    ("p", "pause and continue; events of the pause are not listed"),
    ("m", "connection log: the broker, exchanges, reconnects"),
    ("Esc", "back"),
    ("", "In the list"),
    ("Up, Down, PgUp, PgDn, Home", "select an event; the list stops scrolling"),
    ("End", "jump to the newest event and follow"),
    ("Enter", "open: origin, resource, rules (with -c), payload and context"),
    ("/", "filter by a text (port, a node's name) or a condition as in rules:"),
    (" ", "event_type=^port\\."),
    (" ", "when resource.kind == 'port'"),
    (" ", "Esc, or no text, shows all events"),
    ("s", "save the event as received, with its secrets, for osnl explain, replay, and send"),
    ("", "In an opened event"),
    ("Up, Down, PgUp, PgDn", "scroll"),
    ("Left, Right", "previous event, next event"),
    ("r", "the decision of each rule (with -c)"),
    ("", "In the rates"),
    ("t, 1, 2, 3, a", "sort by type, 1 s, 10 s, 60 s, or total (all); r reverses"),
];

pub(super) fn lines() -> Vec<Line<'static>> {
    let line = |&(keys, text): &(&str, &'static str)| match keys {
        "" => Line::from(format!(" {text}").bold()),
        keys => Line::from(vec![format!("   {keys:<27}").green(), text.into()]),
    };
    TEXT.iter().map(line).collect()
}
