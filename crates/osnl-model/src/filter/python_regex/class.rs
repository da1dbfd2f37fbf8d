//! Character classes: `[...]`.

use super::escape::{Category, Meaning};
use super::{Refused, Step, Translator, refused};

impl Translator {
    /// A class; the bracket at `start` has been read.
    pub(super) fn class(&mut self, start: usize) -> Step {
        let unterminated = || refused(start, "unterminated character set");
        let mut class = String::from("[");
        if self.next_if('^') {
            class.push('^');
        }
        let first = self.at;
        loop {
            let member_start = self.at;
            // A bracket that stands first is a literal.
            if self.at > first && self.next_if(']') {
                break;
            }
            let low = self.class_member(start)?;
            if !self.next_if('-') {
                push_member(&mut class, &low);
                continue;
            }
            if self.next_if(']') {
                push_member(&mut class, &low);
                push_char(&mut class, '-');
                break;
            }
            if self.peek().is_none() {
                return Err(unterminated());
            }
            let high = self.class_member(start)?;
            match (low, high) {
                (Meaning::Char(low), Meaning::Char(high)) if low <= high => {
                    push_char(&mut class, low);
                    class.push('-');
                    push_char(&mut class, high);
                }
                (Meaning::Char(_) | Meaning::Category(_), Meaning::Char(_) | Meaning::Category(_)) => {
                    let written: String = self.pattern[member_start..self.at].iter().collect();
                    return Err(refused(member_start, format!("bad character range {written}")));
                }
            }
        }
        class.push(']');
        self.item(&class);
        Ok(())
    }

    fn class_member(&mut self, class_start: usize) -> Result<Meaning, Refused> {
        let start = self.at;
        match self.next() {
            None => Err(refused(class_start, "unterminated character set")),
            Some('\\') => self.class_escape(start),
            Some(c) => Ok(Meaning::Char(c)),
        }
    }

    fn class_escape(&mut self, start: usize) -> Result<Meaning, Refused> {
        match self.peek() {
            Some('b') => {
                self.at += 1;
                Ok(Meaning::Char('\x08'))
            }
            // In a class digits never refer to a group.
            Some('1'..='7') => self.octal(start, 0, 3).map(Meaning::Char),
            _ => self.common_escape(start),
        }
    }
}

fn push_member(class: &mut String, member: &Meaning) {
    match member {
        Meaning::Char(c) => push_char(class, *c),
        Meaning::Category(Category { members, negated: false }) => class.push_str(members),
        Meaning::Category(opposite) => class.push_str(&opposite.as_class()),
    }
}

/// By number, so that no character can mean anything but itself.
fn push_char(class: &mut String, c: char) {
    class.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
}
