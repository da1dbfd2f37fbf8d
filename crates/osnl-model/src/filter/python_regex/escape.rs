use super::{Last, PatternEngine, Rejection, ScanStep, Translator, refused};

/// The characters of an escape such as `\d`, or all others if it is negated.
#[derive(Clone, Copy)]
pub(super) struct Category {
    pub(super) members: &'static str,
    pub(super) negated: bool,
}

impl Category {
    pub(super) fn as_class(self) -> String {
        format!("[{}{}]", if self.negated { "^" } else { "" }, self.members)
    }
}

/// The meaning of an escape.
pub(super) enum EscapeKind {
    Char(char),
    Range(char, char),
    Category(Category),
}

impl Translator {
    pub(super) fn escape(&mut self, start: usize) -> ScanStep {
        let Some(c) = self.peek() else {
            return Err(refused(start, "bad escape (end of pattern)"));
        };
        let word = self.category('w').as_class();
        let anchor = match (c, self.dialect) {
            ('A', _) => r"\A".to_owned(),
            ('Z', _) => r"\z".to_owned(),
            ('b', PatternEngine::Linear) => r"(?-u:\b)".to_owned(),
            ('B', PatternEngine::Linear) => r"(?-u:\B)".to_owned(),
            ('b', PatternEngine::Backtracking) => format!("(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"),
            // Until Python 3.14, `\B` does not match in an empty text.
            ('B', PatternEngine::Backtracking) => {
                format!(r"(?:(?!\A\z)(?:(?<={word})(?={word})|(?<!{word})(?!{word})))")
            }
            ('1'..='9', _) => return self.digit_escape(start),
            _ => {
                match self.common_escape(start)? {
                    EscapeKind::Char(c) => self.literal(c),
                    EscapeKind::Range(low, high) => {
                        self.item(&format!("[{}]", super::class::ranges(&[(low, high)])))
                    }
                    EscapeKind::Category(category) => self.item(&category.as_class()),
                }
                return Ok(());
            }
        };
        self.at += 1;
        self.has_boundary |= matches!(c, 'b' | 'B');
        self.anchor(&anchor);
        Ok(())
    }

    pub(super) fn common_escape(&mut self, start: usize) -> Result<EscapeKind, Rejection> {
        let Some(c) = self.next() else {
            return Err(refused(start, "bad escape (end of pattern)"));
        };
        let literal = match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => return Ok(EscapeKind::Category(self.category(c))),
            'x' => self.hex(start, 2)?,
            'u' => self.hex(start, 4)?,
            'U' => self.hex(start, 8)?,
            '0' => self.octal(start, 0, 2)?,
            'N' => return Err(refused(start, "named characters (\\N) are not supported")),
            _ if c.is_ascii_alphanumeric() => return Err(refused(start, format!("bad escape \\{c}"))),
            other => other,
        };
        Ok(EscapeKind::Char(literal))
    }

    fn digit_escape(&mut self, start: usize) -> ScanStep {
        let digits: Vec<u32> = self.pattern[self.at..].iter().take(3).map_while(|c| c.to_digit(10)).collect();
        if let [a @ 0..=7, b @ 0..=7, c @ 0..=7] = digits[..] {
            self.at += 3;
            let c = octal_char(start, a * 64 + b * 8 + c)?;
            self.literal(c);
            return Ok(());
        }
        let used = digits.len().min(2);
        let number = digits[..used].iter().fold(0, |number, digit| number * 10 + digit);
        self.at += used;
        self.reference(usize::try_from(number).unwrap_or(usize::MAX), start + 1)
    }

    /// Writes a reference to a group by number. Errors have Python's positions: `position` for an
    /// unknown group, one before for an open group.
    pub(super) fn reference(&mut self, number: usize, position: usize) -> ScanStep {
        let Some(capture) = number.checked_sub(1).and_then(|index| self.captures.get(index)) else {
            return Err(refused(position, format!("invalid group reference {number}")));
        };
        if capture.open {
            return Err(refused(position - 1, "cannot refer to an open group"));
        }
        self.check_look_behind(number, position)?;
        if self.flags.ignore_case {
            return Err(refused(position, "a group reference that ignores case is not supported"));
        }
        let width = self.captures[number - 1].width;
        self.needs_backtracking = true;
        self.follow(Last::Item);
        // Parentheses keep a following digit out of the number.
        self.out.push_str(&format!("(?:\\{number})"));
        self.add_width(width);
        Ok(())
    }

    pub(super) fn check_look_behind(&self, number: usize, position: usize) -> ScanStep {
        if self.groups_before_look_behind.is_some_and(|before| number > before) {
            return Err(refused(position, "cannot refer to group defined in the same lookbehind subpattern"));
        }
        Ok(())
    }

    fn category(&self, letter: char) -> Category {
        let members = match (letter.to_ascii_lowercase(), self.flags.ascii) {
            ('d', true) => "0-9",
            ('d', false) => r"\p{Nd}",
            ('s', true) => r"\t-\r\x20",
            // Python counts the four separators of ASCII among the white space, Unicode does not.
            ('s', false) => r"\s\x1c-\x1f",
            (_, true) => "0-9A-Za-z_",
            (_, false) => r"\p{L}\p{N}_",
        };
        Category { members, negated: letter.is_ascii_uppercase() }
    }

    fn hex(&mut self, start: usize, length: usize) -> Result<char, Rejection> {
        let digits: String =
            self.pattern[self.at..].iter().take(length).take_while(|c| c.is_ascii_hexdigit()).collect();
        let written: String =
            self.pattern[start..self.at].iter().chain(&digits.chars().collect::<Vec<_>>()).collect();
        if digits.len() < length {
            return Err(refused(start, format!("incomplete escape {written}")));
        }
        self.at += length;
        u32::from_str_radix(&digits, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| refused(start, format!("bad escape {written}: no such character")))
    }

    pub(super) fn octal(&mut self, start: usize, read: u32, more: usize) -> Result<char, Rejection> {
        let mut number = read;
        for _ in 0..more {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            number = number * 8 + digit;
            self.at += 1;
        }
        octal_char(start, number)
    }
}

fn octal_char(start: usize, number: u32) -> Result<char, Rejection> {
    u8::try_from(number)
        .map(char::from)
        .map_err(|_| refused(start, format!("octal escape value \\{number:o} outside of range 0-0o377")))
}
