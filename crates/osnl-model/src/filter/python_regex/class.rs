use super::escape::{Category, EscapeKind};
use super::{Rejection, ScanStep, Translator, fold, refused};

impl Translator {
    pub(super) fn class(&mut self, start: usize) -> ScanStep {
        let unterminated = || refused(start, "unterminated character set");
        let negated = self.next_if('^');
        let (mut characters, mut categories) = (Vec::new(), String::new());
        let mut push = |member: &EscapeKind| match member {
            EscapeKind::Char(c) => characters.push((*c, *c)),
            EscapeKind::Range(low, high) => characters.push((*low, *high)),
            EscapeKind::Category(Category { members, negated: false }) => categories.push_str(members),
            EscapeKind::Category(opposite) => categories.push_str(&opposite.as_class()),
        };
        let first = self.at;
        loop {
            let member_start = self.at;
            if self.at > first && self.next_if(']') {
                break;
            }
            let low = self.class_member(start)?;
            if !self.next_if('-') {
                push(&low);
                continue;
            }
            if self.next_if(']') {
                push(&low);
                push(&EscapeKind::Char('-'));
                break;
            }
            if self.peek().is_none() {
                return Err(unterminated());
            }
            let high = self.class_member(start)?;
            match (low, high) {
                (EscapeKind::Char(low), EscapeKind::Char(high)) if low <= high => {
                    push(&EscapeKind::Range(low, high))
                }
                (
                    EscapeKind::Char(_) | EscapeKind::Range(..) | EscapeKind::Category(_),
                    EscapeKind::Char(_) | EscapeKind::Range(..) | EscapeKind::Category(_),
                ) => {
                    let written: String = self.pattern[member_start..self.at].iter().collect();
                    return Err(refused(member_start, format!("bad character range {written}")));
                }
            }
        }
        let characters = ranges(&fold::folded(&characters, self.flags));
        let not = if negated { "^" } else { "" };
        self.item(&format!("[{not}{characters}{categories}]"));
        Ok(())
    }

    fn class_member(&mut self, class_start: usize) -> Result<EscapeKind, Rejection> {
        let start = self.at;
        match self.next() {
            None => Err(refused(class_start, "unterminated character set")),
            Some('\\') => self.class_escape(start),
            Some(c) => Ok(EscapeKind::Char(c)),
        }
    }

    fn class_escape(&mut self, start: usize) -> Result<EscapeKind, Rejection> {
        match self.peek() {
            Some('b') => {
                self.at += 1;
                Ok(EscapeKind::Char('\x08'))
            }
            Some('1'..='7') => self.octal(start, 0, 3).map(EscapeKind::Char),
            _ => self.common_escape(start),
        }
    }
}

/// Writes numbers, so that no character has a special meaning.
pub(super) fn ranges(ranges: &[(char, char)]) -> String {
    ranges
        .iter()
        .map(|&(low, high)| format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high)))
        .collect()
}
