use osnl_core::event::{FAILURE, INCIDENT};

/// The event as the driver `http` sends it without a `body`, in a `body` alone.
pub(crate) const EVENT: &str = "event";

/// The names that templates of some driver know, besides the event's. No enrichment may have one of them.
pub const TEMPLATE_NAMES: [&str; 8] =
    ["rule", "action", "idempotency_key", "secret", "count", FAILURE, INCIDENT, EVENT];

pub(crate) const OF_REQUESTS: [&str; 6] = {
    let [rule, action, key, secret, _, failure, incident, _] = TEMPLATE_NAMES;
    [rule, action, key, secret, failure, incident]
};

/// The names that templates of every driver know, besides the event's.
pub const OF_EVERY_DRIVER: [&str; 5] = {
    let [rule, action, key, _, failure, incident] = OF_REQUESTS;
    [rule, action, key, failure, incident]
};
