use osnl_core::event::FAILURE;

pub(crate) const FENCE: &str = "fence";
/// The event as the driver `http` sends it without a `body`, in a `body` alone.
pub(crate) const EVENT: &str = "event";

pub const TEMPLATE_NAMES: [&str; 8] =
    ["rule", "action", "idempotency_key", FENCE, "secret", "count", FAILURE, EVENT];

pub(crate) const OF_REQUESTS: [&str; 6] = {
    let [rule, action, key, fence, secret, _, failure, _] = TEMPLATE_NAMES;
    [rule, action, key, fence, secret, failure]
};

pub(crate) const OF_EVERY_DRIVER: [&str; 5] = {
    let [rule, action, key, fence, _, failure] = OF_REQUESTS;
    [rule, action, key, fence, failure]
};
