//! The errors of the derives about a declaration.

use osnl_notify::versioned::{Level, VersionedEnum, VersionedNotification, VersionedObject};

#[derive(Clone, VersionedObject)]
struct NothingSaid {
    a: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = 1.10)]
struct VersionIsNoText {
    a: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0", nmae = "Y")]
struct UnknownAttribute {
    a: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct NoNames(String);

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct Generic<T> {
    a: T,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct ExtraWithoutSchema {
    #[versioned(extra)]
    a: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct TwiceTheSameKey {
    a: String,
    #[versioned(name = "a")]
    b: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct OddDefault {
    #[versioned(default = String::new())]
    a: String,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "x", version = "1.1")]
struct FieldOfTomorrow {
    #[versioned(since = "1.2")]
    a: Option<String>,
}

#[derive(Clone, VersionedNotification)]
#[versioned(namespace = "x", version = "1.0")]
struct NoPublisher {
    payload: NothingSaid,
    level: Level,
    event_type: String,
}

#[derive(Clone, VersionedEnum)]
enum Values {
    Start,
    End(u8),
}

fn main() {}
