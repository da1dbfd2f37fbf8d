//! The names that templates of actions may use besides those of the event and of enrichments.

use osnl_core::event::FAILURE;

/// The name of the [`Fence`](osnl_core::fence::Fence) of a delivery.
pub(crate) const FENCE: &str = "fence";

/// All of them, in the order in which messages name them: `secret` is for HTTP requests, `count` for digests.
pub const TEMPLATE_NAMES: [&str; 7] =
    ["rule", "action", "idempotency_key", FENCE, "secret", "count", FAILURE];

/// Those that templates of HTTP requests may use.
pub(crate) const OF_REQUESTS: [&str; 6] = {
    let [rule, action, key, fence, secret, _, failure] = TEMPLATE_NAMES;
    [rule, action, key, fence, secret, failure]
};

/// Those that templates of every driver may use.
pub(crate) const OF_EVERY_DRIVER: [&str; 5] = {
    let [rule, action, key, fence, _, failure] = OF_REQUESTS;
    [rule, action, key, fence, failure]
};
