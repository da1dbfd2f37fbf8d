//! The progress of a request that takes long: a client that asks for it with `"progress": true` gets a line twice a second
//! before the answer, `{"v": 1, "progress": {"done": 1000, "of": 5000}}`.

use serde::{Deserialize, Serialize};

/// The progress of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestProgress {
    /// Deliveries or events that are done.
    pub done: u64,
    /// The number of all, if it is known.
    pub of: u64,
}

/// Takes note of progress; must not wait.
pub type OnProgress<'a> = &'a (dyn Fn(RequestProgress) + Sync);
