//! The numbers of the listed events, which one is selected, and which one is the first on the screen.

use std::collections::VecDeque;

/// See the [module](self).
#[derive(Debug)]
pub(in crate::command::tap::view) struct Listing {
    numbers: VecDeque<u64>,
    /// The place of the selected one.
    at: usize,
    /// The selection moves on with what comes.
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

    /// Drops older events. The selection stays on its event as long as that is there.
    pub(super) fn forget_before(&mut self, first: u64) {
        while self.numbers.front().is_some_and(|number| *number < first) {
            self.numbers.pop_front();
            self.at = self.at.saturating_sub(1);
            self.top = self.top.saturating_sub(1);
        }
    }

    /// Lists these instead; the selection stays where it was, or as near as can be.
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

    /// The number of the selected event.
    pub(in crate::command::tap::view) fn selected(&self) -> Option<u64> {
        self.numbers.get(self.at).copied()
    }

    pub(in crate::command::tap::view) fn follows(&self) -> bool {
        self.follows
    }

    pub(in crate::command::tap::view) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The numbers on the screen.
    pub(in crate::command::tap::view) fn on_screen(&self) -> impl Iterator<Item = u64> {
        self.numbers.iter().skip(self.top).take(self.rows).copied()
    }

    fn clamp(&mut self) {
        let last = self.numbers.len().saturating_sub(1);
        self.at = if self.follows { last } else { self.at.min(last) };
        // As many lines as there are, with the selected one among them.
        let furthest = self.numbers.len().saturating_sub(self.rows);
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(self.rows)).min(furthest);
    }
}
