//! The state of the view: selection, filter, pause, input. Keys and events change the state,
//! without I/O.

mod select;

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use self::select::Listing;
use super::detail::EventDetail;
use super::kept::{EventRing, KeptEntry};
use super::rules::Rules;
use super::search::EventSearch;
use crate::command::tap::rates::live::{Live, RateOrder, RateRow, sort};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TapPage {
    List,
    Detail,
    Rates,
    Messages,
    Help,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    Search(String),
    Save(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Leave,
    Save(String),
}

pub(super) struct ViewState {
    pub(super) ring: EventRing,
    pub(super) listed: Listing,
    pub(super) search: Option<(String, EventSearch)>,
    pub(super) paused: bool,
    pub(super) seen: u64,
    pub(super) passed: u64,
    pub(super) page: TapPage,
    base: TapPage,
    pub(super) prompt: Option<Prompt>,
    pub(super) note: Option<String>,
    pub(super) detail: Option<EventDetail>,
    live: Live,
    pub(super) table: (Vec<RateRow>, RateRow),
    pub(super) spans: [usize; 3],
    pub(super) order: RateOrder,
    pub(super) reversed: bool,
    pub(super) top: usize,
    /// The line of the opened event to scroll to, counted before wrapping. The next frame knows its
    /// place on the screen.
    pub(super) jump: Option<usize>,
    pub(super) rows: usize,
}

impl ViewState {
    pub(super) fn new(rates: bool, at: Timestamp) -> Self {
        let page = if rates { TapPage::Rates } else { TapPage::List };
        let live = Live::new(at.as_second());
        Self {
            ring: EventRing::default(),
            listed: Listing::default(),
            search: None,
            paused: false,
            seen: 0,
            passed: 0,
            page,
            base: page,
            prompt: None,
            note: None,
            detail: None,
            table: live.rows(),
            spans: live.spans(),
            live,
            order: RateOrder::Sixty,
            reversed: false,
            top: 0,
            jump: None,
            rows: 20,
        }
    }

    pub(super) fn add(&mut self, kept: KeptEntry) {
        self.live.count(if kept.readable { &kept.event_type } else { "(unreadable)" });
        self.seen += 1;
        if self.paused {
            self.passed += 1;
            return;
        }
        let found = self.search.as_ref().is_none_or(|(_, search)| search.finds(&kept));
        let number = self.ring.push(kept);
        self.listed.forget_before(self.ring.first());
        if found {
            self.listed.push(number);
        }
    }

    pub(super) fn tick(&mut self, at: Timestamp) {
        self.live.advance(at.as_second());
        if !self.paused {
            self.table = self.live.rows();
            self.spans = self.live.spans();
            sort(&mut self.table.0, self.order, self.reversed);
        }
    }

    pub(super) fn fit(&mut self, rows: usize, lines: usize) {
        self.rows = rows;
        self.listed.fit(rows);
        self.top = self.top.min(lines.saturating_sub(rows));
    }

    pub(super) fn selected(&self) -> Option<&KeptEntry> {
        self.ring.get(self.listed.selected()?)
    }

    pub(super) fn note(&mut self, text: String) {
        self.note = Some(text);
    }

    pub(super) fn key(&mut self, key: KeyEvent, rules: Option<&Rules>) -> Act {
        self.note = None;
        let key = match (key.code, key.modifiers) {
            (KeyCode::Char('u'), KeyModifiers::CONTROL) => {
                if let Some(Prompt::Search(text) | Prompt::Save(text)) = &mut self.prompt {
                    text.clear();
                }
                return Act::Nothing;
            }
            // Some terminals send Ctrl-H and Ctrl-J for Backspace and Enter.
            (KeyCode::Char('h'), KeyModifiers::CONTROL) => KeyCode::Backspace,
            (KeyCode::Char('j'), KeyModifiers::CONTROL) => KeyCode::Enter,
            (KeyCode::Char(_), KeyModifiers::NONE | KeyModifiers::SHIFT) => key.code,
            (KeyCode::Char(_), _) => return Act::Nothing,
            (code, _) => code,
        };
        if let Some(prompt) = self.prompt.take() {
            return self.typed(prompt, key);
        }
        match key {
            KeyCode::Char('q') => return Act::Leave,
            KeyCode::Char('p') => self.pause(),
            KeyCode::Char('?') => self.turn(TapPage::Help),
            KeyCode::Char('m') => self.turn(TapPage::Messages),
            KeyCode::Tab => {
                let other = if self.base == TapPage::Rates { TapPage::List } else { TapPage::Rates };
                self.base = other;
                self.turn(other);
            }
            KeyCode::Esc | KeyCode::Backspace if self.page != self.base => self.turn(self.base),
            KeyCode::Char('/') if self.base == TapPage::List => {
                let before = self.search.as_ref().map(|(typed, _)| typed.clone());
                self.turn(TapPage::List);
                self.prompt = Some(Prompt::Search(before.unwrap_or_default()));
            }
            KeyCode::Char('s') if matches!(self.page, TapPage::List | TapPage::Detail) => {
                match self.listed.selected() {
                    Some(number) => self.prompt = Some(Prompt::Save(format!("osnl-event-{number}.jsonl"))),
                    None => self.note("there is nothing to save yet".to_owned()),
                }
            }
            key => match self.page {
                TapPage::List => self.list_key(key, rules),
                TapPage::Detail => self.detail_key(key, rules),
                TapPage::Rates => self.rates_key(key),
                TapPage::Messages | TapPage::Help => self.scroll(key),
            },
        }
        Act::Nothing
    }

    fn list_key(&mut self, key: KeyCode, rules: Option<&Rules>) {
        match key {
            KeyCode::Up | KeyCode::Char('k') => self.listed.up(1),
            KeyCode::Down | KeyCode::Char('j') => self.listed.down(1),
            KeyCode::PageUp => self.listed.up(self.rows),
            KeyCode::PageDown | KeyCode::Char(' ') => self.listed.down(self.rows),
            KeyCode::Home | KeyCode::Char('g') => self.listed.home(),
            KeyCode::End | KeyCode::Char('G') => self.listed.end(),
            KeyCode::Enter | KeyCode::Right => self.open(rules),
            KeyCode::Esc => self.search(None),
            _ => {}
        }
    }

    fn detail_key(&mut self, key: KeyCode, rules: Option<&Rules>) {
        match key {
            KeyCode::Left | KeyCode::Char('N') => {
                self.listed.up(1);
                self.open(rules);
            }
            KeyCode::Right | KeyCode::Char('n') => {
                self.listed.down(1);
                self.open(rules);
            }
            KeyCode::Enter => self.turn(self.base),
            KeyCode::Char('r') => match self.detail.as_ref().map(|detail| detail.rules_at) {
                Some(Some(at)) => self.jump = Some(at),
                Some(None) | None => self.note("no rules are known: start with -c FILE".to_owned()),
            },
            key => self.scroll(key),
        }
    }

    fn rates_key(&mut self, key: KeyCode) {
        let order = match key {
            KeyCode::Char('t') => RateOrder::Name,
            KeyCode::Char('1') => RateOrder::Second,
            KeyCode::Char('2') => RateOrder::Ten,
            KeyCode::Char('3') => RateOrder::Sixty,
            KeyCode::Char('a') => RateOrder::Total,
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                sort(&mut self.table.0, self.order, self.reversed);
                return;
            }
            key => return self.scroll(key),
        };
        (self.order, self.reversed, self.top) = (order, false, 0);
        sort(&mut self.table.0, order, false);
    }

    fn scroll(&mut self, key: KeyCode) {
        self.top = match key {
            KeyCode::Up | KeyCode::Char('k') => self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.top.saturating_add(1),
            KeyCode::PageUp => self.top.saturating_sub(self.rows),
            KeyCode::PageDown | KeyCode::Char(' ') => self.top.saturating_add(self.rows),
            KeyCode::Home | KeyCode::Char('g') => 0,
            // `fit` limits this to the last page.
            KeyCode::End | KeyCode::Char('G') => usize::MAX,
            _ => self.top,
        };
    }

    fn turn(&mut self, page: TapPage) {
        (self.page, self.top) = (page, 0);
    }

    fn open(&mut self, rules: Option<&Rules>) {
        let Some(number) = self.listed.selected() else { return };
        let Some(kept) = self.ring.get(number) else { return };
        self.detail = Some(EventDetail::new(number, kept, rules));
        // Otherwise a new event would move the selection away from the opened one.
        self.listed.stay();
        self.turn(TapPage::Detail);
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        if !self.paused && self.passed > 0 {
            self.note = Some(format!("{} came while it was paused and are not listed", self.passed));
            self.passed = 0;
        }
    }

    fn typed(&mut self, prompt: Prompt, key: KeyCode) -> Act {
        let (make, mut text): (fn(String) -> Prompt, String) = match prompt {
            Prompt::Search(text) => (Prompt::Search, text),
            Prompt::Save(text) => (Prompt::Save, text),
        };
        match key {
            KeyCode::Char(c) => text.push(c),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Esc => return Act::Nothing,
            KeyCode::Enter => {
                return match make(text) {
                    Prompt::Search(text) => {
                        match EventSearch::parse(&text) {
                            Ok(search) => self.search(search.map(|search| (text.trim().to_owned(), search))),
                            Err(error) => {
                                self.note = Some(format!("filter not changed: {error}"));
                                self.prompt = Some(Prompt::Search(text));
                            }
                        }
                        Act::Nothing
                    }
                    Prompt::Save(text) if text.trim().is_empty() => Act::Nothing,
                    Prompt::Save(text) => Act::Save(text.trim().to_owned()),
                };
            }
            _ => {}
        }
        self.prompt = Some(make(text));
        Act::Nothing
    }

    fn search(&mut self, search: Option<(String, EventSearch)>) {
        let finds = |kept: &KeptEntry| search.as_ref().is_none_or(|(_, search)| search.finds(kept));
        let found = self.ring.iter().filter(|(_, kept)| finds(kept)).map(|(number, _)| number);
        self.listed.replace(found.collect());
        self.search = search;
    }
}
