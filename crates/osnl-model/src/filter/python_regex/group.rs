//! Translates groups and all other elements that begin with a parenthesis.

use super::width::Width;
use super::{Flags, Last, MAX_DEPTH, PatternEngine, Rejection, ScanStep, Translator, refused};

/// A group that is not closed yet, with the state outside to return to.
pub(super) struct OpenGroup {
    /// The position of its parenthesis, for an error.
    pub(super) start: usize,
    /// The kind; a look-around has no width.
    kind: GroupKind,
    /// The flags that hold again behind it.
    outer_flags: Flags,
    /// Whether a `$` comes before it.
    outer_after_dollar: bool,
    /// Whether an alternative so far ends with a `$`.
    pub(super) some_end_with_dollar: bool,
    /// The number of alternatives so far.
    alternatives: usize,
    /// The width of the alternatives that have ended; `None` before the first end.
    width: Option<Width>,
    /// The width of what comes before it.
    outer_width: Width,
    /// The number of groups before the look-behind around it; `None` outside of one.
    outer_groups_before_look_behind: Option<usize>,
}

/// The kind of a group; a capture has its index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupKind {
    Plain,
    Capture(usize),
    Conditional,
    LookAhead,
    LookBehind,
}

/// A capturing group, for references to it.
pub(super) struct Capture {
    name: Option<String>,
    pub(super) open: bool,
    pub(super) width: Width,
}

impl OpenGroup {
    pub(super) fn count_alternative(&mut self, position: usize, width: Width) -> ScanStep {
        self.add_alternative(width);
        self.alternatives += 1;
        if self.kind == GroupKind::Conditional && self.alternatives > 2 {
            return Err(refused(position, "conditional backref with more than two branches"));
        }
        Ok(())
    }

    fn add_alternative(&mut self, width: Width) {
        self.width = Some(self.width.map_or(width, |so_far| so_far.or(width)));
    }

    fn whole_width(&mut self, last: Width) -> Width {
        self.add_alternative(last);
        if self.kind == GroupKind::Conditional && self.alternatives == 1 {
            self.add_alternative(Width::ZERO);
        }
        self.width.unwrap_or(last)
    }
}

impl Translator {
    pub(super) fn open_group(&mut self, start: usize) -> ScanStep {
        if self.open.len() >= MAX_DEPTH {
            return Err(refused(start, "groups are nested too deeply"));
        }
        if !self.next_if('?') {
            return self.capture(start, None);
        }
        let Some(c) = self.next() else {
            return Err(refused(self.at, "unexpected end of pattern"));
        };
        match c {
            'P' => self.python_group(start),
            ':' => self.enter(start, GroupKind::Plain, "(?:"),
            '>' => self.backtracking_group(start, GroupKind::Plain, "(?>"),
            '=' => self.backtracking_group(start, GroupKind::LookAhead, "(?="),
            '!' => self.backtracking_group(start, GroupKind::LookAhead, "(?!"),
            '<' => match self.next() {
                Some('=') => self.look_behind(start, "(?<="),
                Some('!') => self.look_behind(start, "(?<!"),
                Some(other) => Err(refused(start + 1, format!("unknown extension ?<{other}"))),
                None => Err(refused(self.at, "unexpected end of pattern")),
            },
            '#' => self.comment(start),
            '(' => self.conditional(start),
            '-' | 'a' | 'i' | 'L' | 'm' | 's' | 'u' | 'x' => {
                self.at -= 1;
                self.flag_group(start)
            }
            other => Err(refused(start + 1, format!("unknown extension ?{other}"))),
        }
    }

    pub(super) fn close_group(&mut self, start: usize) -> ScanStep {
        let Some(mut open) = self.open.pop() else {
            return Err(refused(start, "unbalanced parenthesis"));
        };
        let width = open.whole_width(self.width);
        if let GroupKind::Capture(index) = open.kind {
            self.captures[index].open = false;
            self.captures[index].width = width;
        }
        self.loose_look_behind |= open.kind == GroupKind::LookBehind && !width.is_fixed();
        self.groups_before_look_behind = open.outer_groups_before_look_behind;
        let is_look_around = matches!(open.kind, GroupKind::LookAhead | GroupKind::LookBehind);
        self.width = open.outer_width;
        self.add_width(if is_look_around { Width::ZERO } else { width });
        self.after_dollar |= open.some_end_with_dollar | open.outer_after_dollar;
        self.flags = open.outer_flags;
        self.last = if is_look_around { Last::LookAround } else { Last::Item };
        self.out.push(')');
        Ok(())
    }

    fn enter(&mut self, start: usize, kind: GroupKind, regex: &str) -> ScanStep {
        self.follow(Last::Nothing);
        self.out.push_str(regex);
        self.open.push(OpenGroup {
            start,
            kind,
            outer_flags: self.flags,
            outer_after_dollar: self.after_dollar,
            some_end_with_dollar: false,
            alternatives: 1,
            width: None,
            outer_width: self.width,
            outer_groups_before_look_behind: self.groups_before_look_behind,
        });
        self.width = Width::ZERO;
        self.after_dollar = false;
        Ok(())
    }

    fn backtracking_group(&mut self, start: usize, kind: GroupKind, regex: &str) -> ScanStep {
        self.needs_backtracking = true;
        self.enter(start, kind, regex)
    }

    fn look_behind(&mut self, start: usize, regex: &str) -> ScanStep {
        self.backtracking_group(start, GroupKind::LookBehind, regex)?;
        self.groups_before_look_behind.get_or_insert(self.captures.len());
        Ok(())
    }

    fn capture(&mut self, start: usize, name: Option<String>) -> ScanStep {
        self.captures.push(Capture { name, open: true, width: Width::ZERO });
        // The linear dialect has no back-references, so it needs no captures.
        let regex = match self.dialect {
            PatternEngine::Linear => "(?:",
            PatternEngine::Backtracking => "(",
        };
        self.enter(start, GroupKind::Capture(self.captures.len() - 1), regex)
    }

    fn python_group(&mut self, start: usize) -> ScanStep {
        match self.next() {
            Some('<') => {
                let position = self.at;
                let name = self.group_name('>')?;
                if let Some(index) = self.capture_named(&name) {
                    let message = format!(
                        "redefinition of group name '{name}' as group {}; was group {}",
                        self.captures.len() + 1,
                        index + 1
                    );
                    return Err(refused(position, message));
                }
                self.capture(start, Some(name))
            }
            Some('=') => {
                let position = self.at;
                let name = self.group_name(')')?;
                let Some(index) = self.capture_named(&name) else {
                    return Err(refused(position, format!("unknown group name '{name}'")));
                };
                self.reference(index + 1, position + 1)
            }
            Some(other) => Err(refused(start + 1, format!("unknown extension ?P{other}"))),
            None => Err(refused(self.at, "unexpected end of pattern")),
        }
    }

    fn capture_named(&self, name: &str) -> Option<usize> {
        self.captures.iter().position(|capture| capture.name.as_deref() == Some(name))
    }

    fn group_name(&mut self, end: char) -> Result<String, Rejection> {
        let position = self.at;
        let name = self.text_up_to(end)?;
        let is_start = |c: char| c == '_' || c.is_alphabetic();
        if name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_numeric()) {
            Ok(name)
        } else {
            Err(refused(position, format!("bad character in group name '{name}'")))
        }
    }

    fn text_up_to(&mut self, end: char) -> Result<String, Rejection> {
        let position = self.at;
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == end && text.is_empty() => {
                    return Err(refused(position, "missing group name"));
                }
                Some(c) if c == end => return Ok(text),
                Some(c) => text.push(c),
                None if text.is_empty() => return Err(refused(position, "missing group name")),
                None => return Err(refused(position, format!("missing {end}, unterminated name"))),
            }
        }
    }

    fn comment(&mut self, start: usize) -> ScanStep {
        while let Some(c) = self.next() {
            if c == ')' {
                return Ok(());
            }
        }
        Err(refused(start, "missing ), unterminated comment"))
    }

    fn conditional(&mut self, start: usize) -> ScanStep {
        let position = self.at;
        let name = self.text_up_to(')')?;
        let number = if name.chars().all(|c| c.is_ascii_digit()) {
            name.parse().unwrap_or(usize::MAX)
        } else {
            self.capture_named(&name)
                .map(|index| index + 1)
                .ok_or_else(|| refused(position, format!("unknown group name '{name}'")))?
        };
        if number == 0 {
            return Err(refused(position, "bad group number"));
        }
        if number > self.captures.len() {
            return Err(refused(position, format!("invalid group reference {number}")));
        }
        self.check_look_behind(number, position)?;
        self.backtracking_group(start, GroupKind::Conditional, &format!("(?({number})"))
    }

    fn flag_group(&mut self, start: usize) -> ScanStep {
        let mut flags = self.flags;
        let mut on = true;
        let mut any = false;
        loop {
            let position = self.at;
            let Some(c) = self.next() else {
                let missing = if on { "missing -, : or )" } else { "missing :" };
                return Err(refused(position, if any { missing } else { "missing flag" }));
            };
            match c {
                'i' => flags.ignore_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                'x' => flags.verbose = on,
                'a' if on => flags.ascii = true,
                'u' if on => flags.ascii = false,
                'a' | 'u' | 'L' if !on => {
                    return Err(refused(self.at, "bad inline flags: cannot turn off flags 'a', 'u' and 'L'"));
                }
                'L' => {
                    return Err(refused(self.at, "bad inline flags: cannot use 'L' flag with a str pattern"));
                }
                '-' if on => {
                    on = false;
                    any = false;
                    continue;
                }
                ':' if any => {
                    self.enter(start, GroupKind::Plain, "(?:")?;
                    self.flags = flags;
                    return Ok(());
                }
                ')' if any && on => return self.global_flags(start, flags),
                ':' | ')' => return Err(refused(position, "missing flag")),
                _ if c.is_alphabetic() => return Err(refused(position, "unknown flag")),
                _ => return Err(refused(position, if any { "missing -, : or )" } else { "missing flag" })),
            }
            any = true;
        }
    }

    fn global_flags(&mut self, start: usize, flags: Flags) -> ScanStep {
        if !self.out.is_empty() || !self.open.is_empty() {
            return Err(refused(start, "global flags not at the start of the expression"));
        }
        self.flags = flags;
        Ok(())
    }
}
