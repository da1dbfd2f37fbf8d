use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use osnl_config::{Bytes, Options as _, options};

options! {
    /// The bounds of a journal: times, sizes, and numbers of deliveries.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct JournalBounds {
        retention: Duration = "7d", within("0", "3650d"), otherwise("write 12h, 7d or 90d") => "Time for which ended deliveries and their events are kept.";
        max_size: Option<Bytes>, at_least(JournalBounds::LEAST_SIZE), otherwise("write 500MiB, 10GiB or a number of bytes") => "Largest size of the file. Without it: 10 GiB, or half of the free space at the start if that is less.";
        max_pending: u64 = "1000000", at_least("1") => "Most pending deliveries of one action; see on_full.";
        max_dead: u64 = "10000", at_least("1") => "Most dead letters that are kept.";
        allow_volatile: bool = "false" => "true: the journal may be in a place that a restart of the machine empties, such as tmpfs or /tmp.";
    }
}

impl JournalBounds {
    pub const LEAST_SIZE: &str = "16MiB";
}

impl Default for JournalBounds {
    fn default() -> Self {
        Self::defaults().expect("defaults that read")
    }
}

/// The terms on which a journal on disk keeps the deliveries of one action. It gets the terms of all actions when it is
/// opened, and at each reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalTerms {
    /// Whether deliveries beyond `max_pending` become dead letters, so that no message is delayed.
    pub overflows: bool,
    /// The age of a dead letter at which it is discarded; `None` means never.
    pub max_dead_age: Option<Duration>,
}

/// The terms by action; an action without an entry has the default.
pub type ActionTerms = BTreeMap<Arc<str>, JournalTerms>;
