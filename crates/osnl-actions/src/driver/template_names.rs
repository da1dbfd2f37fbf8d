use osnl_core::event::FAILURE;

pub(crate) const FENCE: &str = "fence";

pub const TEMPLATE_NAMES: [&str; 7] =
    ["rule", "action", "idempotency_key", FENCE, "secret", "count", FAILURE];

pub(crate) const OF_REQUESTS: [&str; 6] = {
    let [rule, action, key, fence, secret, _, failure] = TEMPLATE_NAMES;
    [rule, action, key, fence, secret, failure]
};

pub(crate) const OF_EVERY_DRIVER: [&str; 5] = {
    let [rule, action, key, fence, _, failure] = OF_REQUESTS;
    [rule, action, key, fence, failure]
};
