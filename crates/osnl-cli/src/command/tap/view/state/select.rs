use std::collections::VecDeque;

#[derive(Debug)]
pub(in crate::command::tap::view) struct Listing {
    numbers: VecDeque<u64>,
    at: usize,
    follows: bool,
    top: usize,
    rows: usize,
}

impl Default for Listing {
    fn default() -> Self {
        Self { numbers: VecDeque::new(), at: 0, follows: true, top: 0, rows: 1 }
    }
}

impl Listing {
    pub(super) fn push(&mut self, number: u64) {
        self.numbers.push_back(number);
        if self.follows {
            self.end();
        }
    }

    /// Drops older events. The selection stays on its event while that is listed.
    pub(super) fn forget_before(&mut self, first: u64) {
        while self.numbers.front().is_some_and(|number| *number < first) {
            self.numbers.pop_front();
            self.at = self.at.saturating_sub(1);
            self.top = self.top.saturating_sub(1);
        }
    }

    /// Lists these events instead; the selection stays, or moves to the nearest event.
    pub(super) fn replace(&mut self, numbers: VecDeque<u64>) {
        let selected = self.selected().unwrap_or(0);
        self.numbers = numbers;
        self.at = self.numbers.partition_point(|number| *number < selected);
        self.clamp();
    }

    pub(super) fn fit(&mut self, rows: usize) {
        self.rows = rows.max(1);
        self.clamp();
    }

    pub(super) fn up(&mut self, lines: usize) {
        self.follows = false;
        self.at = self.at.saturating_sub(lines);
        self.clamp();
    }

    pub(super) fn down(&mut self, lines: usize) {
        self.at = self.at.saturating_add(lines);
        self.clamp();
    }

    pub(super) fn home(&mut self) {
        self.up(usize::MAX);
    }

    pub(super) fn end(&mut self) {
        self.follows = true;
        self.clamp();
    }

    pub(super) fn stay(&mut self) {
        self.follows = false;
    }

    pub(in crate::command::tap::view) fn selected(&self) -> Option<u64> {
        self.numbers.get(self.at).copied()
    }

    pub(in crate::command::tap::view) fn follows(&self) -> bool {
        self.follows
    }

    pub(in crate::command::tap::view) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(in crate::command::tap::view) fn on_screen(&self) -> impl Iterator<Item = u64> {
        self.numbers.iter().skip(self.top).take(self.rows).copied()
    }

    fn clamp(&mut self) {
        let last = self.numbers.len().saturating_sub(1);
        self.at = if self.follows { last } else { self.at.min(last) };
        let furthest = self.numbers.len().saturating_sub(self.rows);
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(self.rows)).min(furthest);
    }
}
