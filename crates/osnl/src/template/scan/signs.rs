//! What the engine's own reader may overlook: it drops an error that stands right behind a text, and with it the rest
//! of the source. `event_type == "x" && false` would be `event_type == "x"`, and hold.

use super::{Kind, Source, unquoted};
use crate::template::error::{TemplateError, hint};

/// The signs of an expression; `!` is one only in `!=`.
const SIGNS: &str = "+-*/%.,:~|=<>()[]{}";

impl Source<'_> {
    /// That every sign is one, and whatever follows a text can.
    pub(super) fn signs(&self) -> Result<(), TemplateError> {
        for n in 0..self.tokens.len() {
            let at = self.tokens[n].at.start;
            let refuse = |what: &str| {
                let hint = hint(&self.written[at..]);
                Err(TemplateError::new(at, format!("cannot be read: {what}"), hint))
            };
            let follows = n > 0 && self.kind(n - 1) == Some(Kind::Text);
            match self.kind(n) {
                Some(Kind::Sign) => match self.word(n) {
                    "!" if self.adjoins(n, "=") => {}
                    "|" if self.adjoins(n, "|") => return refuse("unexpected `||`"),
                    sign if SIGNS.contains(sign) => {}
                    _ => return refuse("unexpected character"),
                },
                Some(Kind::Text) if follows && unquoted(self.word(n)).is_none() => {
                    return refuse("a text that does not end");
                }
                Some(Kind::Number) if follows => return refuse("unexpected number"),
                Some(Kind::Word) if follows && !self.word(n).is_ascii() => {
                    return refuse("unexpected character");
                }
                Some(Kind::Text | Kind::Number | Kind::Word) | None => {}
            }
        }
        Ok(())
    }

    /// Whether the next token is this, without a blank between.
    fn adjoins(&self, n: usize, sign: &str) -> bool {
        let touch = self.tokens.get(n + 1).is_some_and(|next| next.at.start == self.tokens[n].at.end);
        touch && self.word(n + 1) == sign
    }
}
