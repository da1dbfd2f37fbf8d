//! The errors of the derive about a schema.

use osnl_notify::versioned::VersionedObject;

struct Node {
    uuid: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { uuid, nmae = uuid }))]
struct NoSuchField {
    uuid: String,
    name: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { uuid }, other: Node { uuid }))]
struct FilledTwice {
    uuid: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { uuid, .. }))]
struct ExtraIsFilled {
    #[versioned(extra)]
    uuid: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", schema(node: Node { .. }, other: Node { .. }))]
struct TwoRests {
    uuid: String,
}

fn main() {}
