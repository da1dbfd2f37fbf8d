/// The rules of the design that a story can disable. With all of them the model keeps its promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Each transaction of an owner writes the lease row if epoch and token match; otherwise it only reads
    /// the row.
    pub(crate) owners_write_the_lease: bool,
    /// An append only inserts; otherwise an append that sees an empty lane makes its delivery ready.
    pub(crate) appends_only_insert: bool,
    /// An append writes the row of its reader's epoch.
    pub(crate) readers_write_their_epoch: bool,
    /// A take-over requires the beat that was seen for a whole lease, and not only the epoch.
    pub(crate) take_over_names_the_beat: bool,
    /// An owner reads the lane after the commit of its take-over, not before.
    pub(crate) owners_read_after_their_take_over: bool,
    /// A transaction with an unknown end is repeated under its number, so that only one can insert it.
    /// Otherwise the number is looked up, and if missing, a transaction with another number follows.
    pub(crate) unknown_ends_are_repeated_under_their_number: bool,
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A lease expires, or its owner is suspended for longer.
    pub(crate) expiries: u8,
    /// A daemon dies and restarts without memory.
    pub(crate) crashes: u8,
    /// The connection breaks while a transaction commits.
    pub(crate) unknown_commits: u8,
    /// The broker makes the other daemon the active consumer, unnoticed by the former.
    pub(crate) reader_changes: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    pub(crate) database: Database,
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
