//! The compiler's words about types that do not fit, and about missing declarations.

use osnl_notify::versioned::{Level, VersionedNotification, VersionedObject};

struct Node {
    uuid: String,
    memory_mb: Option<i64>,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { uuid }))]
struct Payload {
    uuid: String,
    to_power: Option<String>,
}

#[derive(Clone, VersionedNotification)]
#[versioned(namespace = "x", version = "1.0")]
struct Notification {
    payload: Payload,
    level: Level,
    event_type: String,
    publisher: String,
}

// A source field of another type.
#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { uuid }))]
struct OtherType {
    uuid: i64,
}

// A source that may be None, and a field that must not.
#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { memory_mb }))]
struct NotNullable {
    memory_mb: i64,
}

// A source without such a field.
#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { name }))]
struct NoSourceField {
    name: String,
}

fn main() {
    let node = Node { uuid: String::new(), memory_mb: None };
    let head = || ("a.b".to_owned(), "s.h".to_owned());

    // Forgotten to populate: the extra fields are no payload.
    let (event_type, publisher) = head();
    let extra = PayloadExtra { to_power: None };
    Notification::new(extra, event_type, publisher, Level::Info);

    // The argument lacks an extra field.
    Payload::populate(&node, PayloadExtra {});
}
