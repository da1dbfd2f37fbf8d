use osnl_core::event::FAILURE;

/// The event as the driver `http` sends it without a `body`, in a `body` alone.
pub(crate) const EVENT: &str = "event";

/// The names that templates of some driver know, besides the event's. No enrichment may have one of them.
pub const TEMPLATE_NAMES: [&str; 7] =
    ["rule", "action", "idempotency_key", "secret", "count", FAILURE, EVENT];

pub(crate) const OF_REQUESTS: [&str; 5] = {
    let [rule, action, key, secret, _, failure, _] = TEMPLATE_NAMES;
    [rule, action, key, secret, failure]
};

/// The names that templates of every driver know, besides the event's.
pub const OF_EVERY_DRIVER: [&str; 4] = {
    let [rule, action, key, _, failure] = OF_REQUESTS;
    [rule, action, key, failure]
};
