//! Traces on standard output: text with colours, or an object per line.

use std::ops::Range;

pub(in crate::command) use osnl::explain::words::{masked, time};
use serde_json::Value;

use crate::clean;
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output::{self, Put, Tint};
use crate::terminal::{self, Tone};

pub(in crate::command) struct StandardOutput {
    gone: bool,
    failed: bool,
    coloured: bool,
    tint: Tint,
}

impl StandardOutput {
    pub(in crate::command) fn for_traces(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Text => Self::tinted(tint),
            OutputFormat::Json => Self::plain(),
        }
    }

    pub(in crate::command) fn tinted(tint: Tint) -> Self {
        Self { gone: false, failed: false, coloured: terminal::coloured(), tint }
    }

    pub(in crate::command) fn plain() -> Self {
        Self { gone: false, failed: false, coloured: false, tint: |_| None }
    }

    pub(in crate::command) fn line(&mut self, text: &str) {
        let text = output::for_locale(text);
        self.put(if self.coloured { output::tinted(&text, self.tint) } else { text.into_owned() });
    }

    fn put(&mut self, mut text: String) {
        if self.gone {
            return;
        }
        text.push('\n');
        match output::put(text.as_bytes()) {
            Put::Done => {}
            Put::Gone => self.gone = true,
            Put::Failed => (self.gone, self.failed) = (true, true),
        }
    }

    pub(in crate::command) fn json(&mut self, mut value: Value) {
        clean::mask_urls(&mut value);
        self.put(clean::json(value.to_string()));
    }

    pub(in crate::command) fn end(self, exit: Exit) -> Exit {
        if self.failed { Exit::Failed } else { exit }
    }
}

fn tint(line: &str) -> Option<(Tone, Range<usize>)> {
    match line.strip_prefix("  rule ") {
        Some(rest) if rest.ends_with(" matches") => output::all(Tone::Good, line),
        Some(_) => None,
        None if line.starts_with(' ') => None,
        None => output::all(Tone::Strong, line),
    }
}
