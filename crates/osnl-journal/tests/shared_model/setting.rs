//! The setting of a story: its rules, its faults, its messages, and its database.

/// The sentences of the design that can be taken away. With each of them the model keeps its promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Each transaction of an owner writes the lease row, on condition of its epoch and token; else it only reads them.
    pub(crate) owners_write_the_lease: bool,
    /// An append inserts only; else it makes a delivery ready if it sees an empty lane.
    pub(crate) appends_only_insert: bool,
    /// An append writes the row of its reader's epoch.
    pub(crate) readers_write_their_epoch: bool,
    /// A take-over is on condition of the beat that was seen for a whole lease, not of the epoch alone.
    pub(crate) take_over_names_the_beat: bool,
    /// An owner reads the lane when its take-over has committed, not before.
    pub(crate) owners_read_after_their_take_over: bool,
    /// A transaction whose end is unknown is repeated under its number, which one of the two can insert; else its number is
    /// looked up, and a transaction with another number is made if it is not there.
    pub(crate) unknown_ends_are_repeated_under_their_number: bool,
    /// A commit is never undone.
    pub(crate) commits_are_durable: bool,
}

impl Rules {
    pub(crate) const DESIGN: Self = Self {
        owners_write_the_lease: true,
        appends_only_insert: true,
        readers_write_their_epoch: true,
        take_over_names_the_beat: true,
        owners_read_after_their_take_over: true,
        unknown_ends_are_repeated_under_their_number: true,
        commits_are_durable: true,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Postgres,
    Galera,
}

/// The number of times that each fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A lease runs out, or its owner is stopped for longer than that.
    pub(crate) expiries: u8,
    /// A daemon dies and comes back with nothing.
    pub(crate) crashes: u8,
    /// The connection breaks while a transaction commits.
    pub(crate) unknown_commits: u8,
    /// The broker makes the other daemon the active consumer; the former does not notice.
    pub(crate) reader_changes: u8,
}

/// The setting of a story.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    pub(crate) database: Database,
    /// For each message of the queue, in its order: whether it has an id.
    pub(crate) messages: Vec<bool>,
    pub(crate) faults: Faults,
}

impl Setting {
    pub(crate) fn keeps_former(&self) -> bool {
        !self.rules.commits_are_durable || !self.rules.owners_read_after_their_take_over
    }

    pub(crate) fn has_id(&self, message: u8) -> bool {
        self.messages[usize::from(message) - 1]
    }
}
