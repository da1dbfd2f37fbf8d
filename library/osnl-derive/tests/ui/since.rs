//! The compiler's words about a field that older messages lack.

use osnl_notify::versioned::VersionedObject;

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.1")]
struct Payload {
    uuid: String,
    #[versioned(since = "1.1")]
    rack: String,
}

fn main() {}
