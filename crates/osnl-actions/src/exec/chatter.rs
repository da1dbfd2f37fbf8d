//! A line that begins with `<0>` to `<7>` has that priority, as under systemd (sd-daemon(3)); other
//! lines are `info`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::time::Instant;

use super::lines::{LineBuffer, NextLine, tidy};

const LONGEST: usize = 2048;
const LAST_WORDS: usize = 300;
const BURST: u32 = 100;
const EACH: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Chatter {
    action: Arc<str>,
    pipe: Option<ChildStderr>,
    lines: LineBuffer,
    allowance: Allowance,
    last: Option<String>,
}

impl Chatter {
    pub(super) fn new(action: Arc<str>, pipe: ChildStderr) -> Self {
        let lines = LineBuffer::new(LONGEST);
        Self { action, pipe: Some(pipe), lines, allowance: Allowance::new(Instant::now()), last: None }
    }

    pub(super) async fn relay(&mut self) -> Infallible {
        self.relay_to_end().await;
        std::future::pending().await
    }

    pub(super) async fn relay_to_end(&mut self) {
        while let Some(pipe) = &mut self.pipe {
            match pipe.read_buf(&mut self.lines.buffer).await {
                Ok(0) | Err(_) => self.pipe = None,
                Ok(_) => {}
            }
            while let NextLine::Line(line) | NextLine::TooLong(line) = self.lines.next() {
                self.say(&line);
            }
        }
        if let Some(rest) = self.lines.rest() {
            self.say(&rest);
        }
    }

    pub(super) fn last_words(&self) -> String {
        self.last.as_ref().map_or_else(String::new, |last| format!("; its last words: {last}"))
    }

    fn say(&mut self, line: &[u8]) {
        let (priority, line) = priority(line);
        let text = tidy(line, LONGEST);
        if text.is_empty() {
            return;
        }
        self.last = Some(tidy(text.as_bytes(), LAST_WORDS));
        let action = &*self.action;
        let Some(left_out) = self.allowance.take(Instant::now()) else { return };
        if left_out > 0 {
            tracing::warn!(
                action.name = action,
                lines = left_out,
                "the program writes too many lines: some were left out"
            );
        }
        match priority {
            0..=3 => tracing::error!(action.name = action, "{text}"),
            4 => tracing::warn!(action.name = action, "{text}"),
            5 | 6 => tracing::info!(action.name = action, "{text}"),
            _ => tracing::debug!(action.name = action, "{text}"),
        }
    }
}

fn priority(line: &[u8]) -> (u8, &[u8]) {
    match line {
        [b'<', digit @ b'0'..=b'7', b'>', rest @ ..] => (digit - b'0', rest),
        _ => (6, line),
    }
}

#[derive(Debug)]
struct Allowance {
    left: u32,
    filled: Instant,
    left_out: u64,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: BURST, filled: now, left_out: 0 }
    }

    fn take(&mut self, now: Instant) -> Option<u64> {
        let ticks = (now.saturating_duration_since(self.filled).as_millis() / EACH.as_millis())
            .min(u128::from(BURST));
        let ticks = u32::try_from(ticks).unwrap_or(BURST);
        if ticks > 0 {
            self.left = self.left.saturating_add(ticks).min(BURST);
            self.filled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.left_out))
            }
            None => {
                self.left_out += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_lines_are_counted_and_not_written() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let written = (0..1000).filter(|_| allowance.take(start).is_some()).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(allowance.take(start + EACH), Some(900));
        assert_eq!(allowance.take(start + EACH), None);
        assert_eq!(allowance.take(start + EACH * 1000), Some(1));
        let written = (0..1000).filter(|_| allowance.take(start + EACH * 1000).is_some()).count();
        assert_eq!(written, BURST as usize - 1);
    }

    #[test]
    fn a_priority_is_read_as_systemd_reads_it() {
        for (line, expected) in
            [("<3>x", (3, "x")), ("<8>x", (6, "<8>x")), ("x", (6, "x")), ("<7>", (7, "")), ("", (6, ""))]
        {
            assert_eq!(priority(line.as_bytes()), (expected.0, expected.1.as_bytes()), "{line}");
        }
    }
}
