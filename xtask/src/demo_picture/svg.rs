//! From frames to one SVG file. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::film::{Frame, Line, Look};

/// In units of the picture: a character, a line, the font, the border, the window's bar.
const CHARACTER: f64 = 8.4;
const LINE: usize = 18;
const FONT: usize = 14;
const BORDER: usize = 14;
const BAR: usize = 30;

/// The whole file.
pub(super) fn draw(frames: &[Frame], columns: usize, lines: usize) -> String {
    let inner = width(columns).ceil();
    let outer = inner + 2.0 * BORDER as f64;
    let height = BAR + lines * LINE + BORDER;
    let mut known: HashMap<&Line, usize> = HashMap::new();
    let mut defs = String::new();
    let mut film = String::new();
    for (number, frame) in frames.iter().enumerate() {
        let _ = write!(film, "<g transform=\"translate({} 0)\">", number as f64 * inner);
        for (y, line) in frame.lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            let next = known.len();
            let id = *known.entry(line).or_insert_with(|| {
                text(&mut defs, next, line);
                next
            });
            let _ = write!(film, "<use href=\"#l{id}\" y=\"{}\"/>", y * LINE);
        }
        film += "</g>\n";
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {outer} {height}\" width=\"{outer}\" height=\"{height}\" role=\"img\" xml:space=\"preserve\">\n\
         <title>osnl demo: notifications of a small cloud arrive, some match, hosts leave K2HR3</title>\n\
         <!-- Made by `cargo xtask demo-picture`. -->\n\
         <style>\n{}</style>\n\
         <defs>\n{defs}</defs>\n\
         <rect width=\"{outer}\" height=\"{height}\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <circle cx=\"18\" cy=\"15\" r=\"5\" fill=\"#ff5f57\"/><circle cx=\"36\" cy=\"15\" r=\"5\" fill=\"#febc2e\"/><circle cx=\"54\" cy=\"15\" r=\"5\" fill=\"#28c840\"/>\n\
         <svg x=\"{BORDER}\" y=\"{BAR}\" width=\"{inner}\" height=\"{}\" viewBox=\"0 0 {inner} {}\">\n\
         <g class=\"film\">\n{film}</g>\n</svg>\n</svg>\n",
        style(frames, inner),
        lines * LINE,
        lines * LINE,
    )
}

fn style(frames: &[Frame], inner: f64) -> String {
    let whole: Duration = frames.iter().map(|frame| frame.shown).sum();
    let mut keys = String::new();
    let mut at = Duration::ZERO;
    for (number, frame) in frames.iter().enumerate() {
        let percent = 100.0 * at.as_secs_f64() / whole.as_secs_f64();
        let _ = writeln!(keys, "{percent:.2}%{{transform:translateX({}px)}}", -(number as f64) * inner);
        at += frame.shown;
    }
    let last = -(frames.len().saturating_sub(1) as f64) * inner;
    format!(
        "text{{font:{FONT}px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",\"Liberation Mono\",monospace;fill:#c9d1d9;white-space:pre}}\n\
         .d{{fill:#7d8590}}.g{{fill:#3fb950}}.b{{fill:#ff7b72}}.s{{fill:#fff;font-weight:bold}}\n\
         .film{{animation:film {:.2}s step-end infinite}}\n\
         @keyframes film{{\n{keys}}}\n\
         @media (prefers-reduced-motion:reduce){{.film{{animation:none;transform:translateX({last}px)}}}}\n",
        whole.as_secs_f64()
    )
}

/// A line, to be used wherever it is shown. Each run has its place and its length, whatever the font.
fn text(defs: &mut String, id: usize, line: &Line) {
    let _ = write!(defs, "<text id=\"l{id}\" y=\"{FONT}\">");
    for (column, look, text) in line {
        let class = match look {
            Look::Plain => "",
            Look::Dim => " class=\"d\"",
            Look::Good => " class=\"g\"",
            Look::Bad => " class=\"b\"",
            Look::Strong => " class=\"s\"",
        };
        let length = width(text.chars().count());
        let _ = write!(
            defs,
            "<tspan x=\"{}\" textLength=\"{length}\"{class}>{}</tspan>",
            width(*column),
            escaped(text)
        );
    }
    *defs += "</text>\n";
}

/// So many characters, to a tenth.
fn width(characters: usize) -> f64 {
    (characters as f64 * CHARACTER * 10.0).round() / 10.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_once_in_the_file_and_cannot_break_it() {
        let line = |text: &str| vec![(2, Look::Good, text.to_owned())];
        let frame = |lines: Vec<Line>, ms| Frame { lines, shown: Duration::from_millis(ms) };
        let frames = [
            frame(vec![line("<a & b>"), Line::new(), line("c")], 1000),
            frame(vec![line("c"), line("<a & b>")], 3000),
        ];
        let svg = draw(&frames, 100, 3);
        assert_eq!(svg.matches("&lt;a &amp; b&gt;").count(), 1, "{svg}");
        assert_eq!(svg.matches("<use ").count(), 4);
        assert!(svg.contains("25.00%{transform:translateX(-840px)}") && svg.contains("film 4.00s"), "{svg}");
        for (open, close) in
            [("<text ", "</text>"), ("<tspan ", "</tspan>"), ("<g ", "</g>"), ("<svg ", "</svg>")]
        {
            assert_eq!(svg.matches(open).count(), svg.matches(close).count(), "{open}");
        }
    }
}
