//! Blocks of events, with facts that let a search skip most blocks.
//!
//! An operator searches for one resource among a million deliveries. An index on names would write a page of
//! a random place for each append, and most of such an index is not in memory. So each 512 events form a
//! block with a summary:
//!
//! - its **facts**, added at each append: rules, actions, event types, states, HTTP statuses. Facts are never
//!   removed, so a search may read a block in vain but never skips one wrongly;
//! - its **names**, written once, when the next block begins: ids and names of resources, order keys, message
//!   ids.
//!
//! Facts and names are sorted four-byte digests in separate tables, since the facts are few. A search reads
//! the facts, and the names only if it has one; then only the deliveries of the blocks left. The unfinished
//! block has no names yet, and texts of answers have no facts: such searches read all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use osnl_model::BodyDigest;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::work::Work;
use crate::claim::SHIFT;
use crate::query::About;
use crate::query::AnswerPolicy;
use crate::query::Phase;
use crate::query::RowCondition;
use crate::query::RowState;

/// Events of a block, as a power of two.
const EVENTS: u32 = 9;
/// Delivery numbers of a block, as a power of two.
const DELIVERIES: u32 = EVENTS + SHIFT;

/// Four bytes of a digest over a kind of fact and its value.
pub(super) type BlockMark = u32;

/// A fact about a delivery by which a search skips blocks.
#[derive(Clone, Copy, Debug)]
pub(super) enum BlockFact<'a> {
    Rule(&'a str),
    Action(&'a str),
    EventType(&'a str),
    State(RowState),
    Failed,
    Status(u16),
    Name(&'a str),
}

impl BlockFact<'_> {
    pub(super) fn mark(self) -> BlockMark {
        let (kind, text) = match self {
            Self::Rule(rule) => ('r', rule.to_owned()),
            Self::Action(action) => ('a', action.to_owned()),
            Self::EventType(event_type) => ('e', event_type.to_owned()),
            Self::State(state) => ('s', (state as i64).to_string()),
            Self::Failed => ('f', String::new()),
            Self::Status(status) => ('h', status.to_string()),
            Self::Name(name) => ('n', name.to_ascii_lowercase()),
        };
        let digest = BodyDigest::new(format!("{kind}{text}").as_bytes());
        let mut first = [0; 4];
        first.copy_from_slice(&digest.as_bytes()[..4]);
        BlockMark::from_le_bytes(first)
    }
}

/// The facts that a transaction adds, written before its commit.
#[derive(Debug, Default)]
pub(super) struct BlockNotes {
    facts: BTreeMap<i64, BTreeSet<BlockMark>>,
    /// Blocks whose first event is in this transaction.
    begun: Vec<i64>,
}

impl BlockNotes {
    pub(super) fn note(&mut self, delivery: i64, fact: BlockFact<'_>) {
        self.facts.entry(delivery >> DELIVERIES).or_default().insert(fact.mark());
    }

    pub(super) fn note_answer(&mut self, delivery: i64, answer: &str) {
        for status in AnswerPolicy::statuses(answer) {
            self.note(delivery, BlockFact::Status(status));
        }
    }

    pub(super) fn took(&mut self, event: i64, next: i64) {
        let begin = |number: i64| if number <= 1 { 0 } else { ((number - 1) >> EVENTS) + 1 };
        self.begun.extend(begin(event)..begin(next).max(begin(event)));
    }
}

impl Work<'_> {
    /// Writes the facts of the blocks; called after all deliveries of the transaction.
    pub(super) fn write_blocks(&self) -> Result<()> {
        for block in &self.blocks.begun {
            close(self.connection, block - 1)?;
            let mut insert = self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO block (id, facts) VALUES (?1, x'')")?;
            insert.execute([block])?;
            self.connection.prepare_cached("DELETE FROM block_names WHERE id = ?")?.execute([block])?;
        }
        for (block, new) in &self.blocks.facts {
            let mut select = self.connection.prepare_cached("SELECT facts FROM block WHERE id = ?")?;
            let known = select.query_row([block], |row| Ok(marks(row.get_ref(0)?).collect::<BTreeSet<_>>()));
            // The events of a block without a row have no recorded facts.
            let Some(mut facts) = known.optional()? else { continue };
            if !new.is_subset(&facts) {
                facts.extend(new);
                let mut update =
                    self.connection.prepare_cached("UPDATE block SET facts = ?2 WHERE id = ?1")?;
                update.execute(params![block, bytes(&facts)])?;
            }
        }
        Ok(())
    }
}

fn close(connection: &Connection, block: i64) -> Result<()> {
    let known = connection.prepare_cached("SELECT 1 FROM block WHERE id = ?")?.exists([block])?;
    if !known {
        return Ok(());
    }
    let mut select = connection.prepare_cached(
        "SELECT d.key, d.resource_id, d.resource_name, e.message_id FROM delivery d \
         JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
         WHERE d.id >= ?1 AND d.id < ?2",
    )?;
    let mut rows = select.query([block << DELIVERIES, (block + 1) << DELIVERIES])?;
    let mut names = BTreeSet::new();
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            if let Some(name) = row.get_ref(column)?.as_str_or_null()? {
                names.insert(BlockFact::Name(name).mark());
            }
        }
    }
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO block_names (id, names) VALUES (?1, ?2)")?;
    insert.execute(params![block, bytes(&names)])?;
    Ok(())
}

pub(super) fn forget(connection: &Connection, events: &BTreeSet<i64>) -> Result<()> {
    let blocks: BTreeSet<i64> = events.iter().map(|event| event >> EVENTS).collect();
    for block in blocks {
        let mut left = connection.prepare_cached("SELECT 1 FROM event WHERE id >= ?1 AND id < ?2 LIMIT 1")?;
        if !left.exists([block << EVENTS, (block + 1) << EVENTS])? {
            connection.prepare_cached("DELETE FROM block WHERE id = ?")?.execute([block])?;
            connection.prepare_cached("DELETE FROM block_names WHERE id = ?")?.execute([block])?;
        }
    }
    Ok(())
}

fn bytes(marks: &BTreeSet<BlockMark>) -> Vec<u8> {
    marks.iter().flat_map(|mark| mark.to_be_bytes()).collect()
}

fn marks(value: ValueRef<'_>) -> impl Iterator<Item = BlockMark> {
    let bytes = value.as_blob().unwrap_or_default();
    bytes.as_chunks().0.iter().map(|mark| BlockMark::from_be_bytes(*mark))
}

/// The facts and names that a block must have to be searched: one mark of each list.
#[derive(Debug, Default)]
pub(super) struct BlockNeeds {
    facts: Vec<Vec<BlockMark>>,
    names: Vec<Vec<BlockMark>>,
}

impl BlockNeeds {
    pub(super) fn from_conditions<'a>(conditions: impl IntoIterator<Item = RowCondition<'a>>) -> Self {
        let mut needs = Self::default();
        for condition in conditions {
            needs.add(condition);
        }
        needs
    }

    fn add_states(&mut self, states: &[RowState]) {
        // Each block has had open deliveries.
        if !states.iter().any(|state| matches!(state, RowState::Waiting | RowState::Ready)) {
            self.facts.push(states.iter().map(|state| BlockFact::State(*state).mark()).collect());
        }
    }

    fn add(&mut self, condition: RowCondition<'_>) {
        match condition {
            RowCondition::Rule(rule) => self.facts.push(vec![BlockFact::Rule(rule).mark()]),
            RowCondition::Action(action) => self.facts.push(vec![BlockFact::Action(action).mark()]),
            RowCondition::EventType(event_type) => {
                self.facts.push(vec![BlockFact::EventType(event_type).mark()]);
            }
            RowCondition::States(states) => self.add_states(states),
            RowCondition::HeldBy(_) => self.add_states(&[RowState::Held]),
            RowCondition::Phases([Phase::Retrying], _) => self.facts.push(vec![BlockFact::Failed.mark()]),
            RowCondition::Phases(phases, _) => {
                let states: Vec<RowState> =
                    phases.iter().flat_map(|phase: &Phase| phase.states()).copied().collect();
                self.add_states(&states);
            }
            RowCondition::Answered(AnswerPolicy::Status(status)) => {
                let meant = (100..600).filter(|number| AnswerPolicy::includes(status, *number));
                self.facts.push(meant.map(|number| BlockFact::Status(number).mark()).collect());
            }
            RowCondition::Key(name) => self.names.push(vec![BlockFact::Name(name).mark()]),
            RowCondition::About(about) => {
                let name = |about: &About| match about {
                    About::Named(name) | About::Resource(name) => Some(BlockFact::Name(name).mark()),
                    About::Delivery(_) | About::Event(_) => None,
                };
                self.names.extend(about.iter().map(name).collect::<Option<Vec<_>>>());
            }
            // Conditions on numbers, or without a fact that covers the condition.
            _ => {}
        }
    }

    pub(super) fn ranges(&self, connection: &Connection) -> Result<Vec<Range<i64>>> {
        let mut ranges: Vec<Range<i64>> = Vec::new();
        let mut from = 0;
        if self.facts.is_empty() && self.names.is_empty() {
            ranges.push(from..i64::MAX);
            return Ok(ranges);
        }
        let mut names = connection.prepare_cached("SELECT names FROM block_names WHERE id = ?")?;
        let mut select = connection.prepare_cached("SELECT id, facts FROM block ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let block: i64 = row.get(0)?;
            let mut has = has_each(&self.facts, row.get_ref(1)?);
            if has && !self.names.is_empty() {
                // The unfinished block has no names yet.
                let known = names.query_row([block], |row| Ok(has_each(&self.names, row.get_ref(0)?)));
                has = known.optional()?.unwrap_or(true);
            }
            if !has {
                let left_out = (block << DELIVERIES)..((block + 1) << DELIVERIES);
                if from < left_out.start {
                    ranges.push(from..left_out.start);
                }
                from = left_out.end;
            }
        }
        // Nothing is known beyond the last block.
        ranges.push(from..i64::MAX);
        Ok(ranges)
    }
}

fn has_each(groups: &[Vec<BlockMark>], value: ValueRef<'_>) -> bool {
    let (marks, _) = value.as_blob().unwrap_or_default().as_chunks();
    groups.iter().all(|group| group.iter().any(|mark| marks.binary_search(&mark.to_be_bytes()).is_ok()))
}
