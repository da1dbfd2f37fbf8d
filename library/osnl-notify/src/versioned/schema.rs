//! Schemas: fields of a domain object fill those of a payload.
//!
//! The derive writes a payload's `populate`, which calls these functions for each pair of fields, so that a
//! mismatched pair is a compiler error at the schema's line.

use super::{MaybeSet, VersionedObject};

/// A source field of this type can fill a payload field of type `Field`.
///
/// Both types are equal, or the payload's is an `Option` of the source's. Implement the trait for conversions
/// between custom types.
#[diagnostic::on_unimplemented(
    message = "a source field of type `{Self}` cannot fill a payload field of type `{Field}`",
    label = "the source's field is `{Self}`, the payload's is `{Field}`",
    note = "both have the same type, or the payload's is an Option of it; a source that may be None fills a required \
            field only if that has a default: #[versioned(default = …)]"
)]
pub trait Fills<Field> {
    /// Returns the value for the payload.
    fn fill(&self) -> Field;
}

impl<T: Clone> Fills<T> for T {
    fn fill(&self) -> T {
        self.clone()
    }
}

impl<T: Clone> Fills<Option<T>> for T {
    fn fill(&self) -> Option<T> {
        Some(self.clone())
    }
}

impl<T: Clone> Fills<MaybeSet<T>> for T {
    fn fill(&self) -> MaybeSet<T> {
        MaybeSet::Set(self.clone())
    }
}

/// A source field of this type can fill a required payload field that has a default.
#[diagnostic::on_unimplemented(
    message = "a source field of type `{Self}` cannot fill a payload field of type `{Field}`",
    label = "the source's field is `{Self}`, the payload's is `{Field}`",
    note = "both have the same type, or the source's is an Option of it: the payload's field has a default"
)]
pub trait FillsOr<Field> {
    /// Returns the payload's value, or its default if the source is `None`.
    fn fill_or(&self, default: fn() -> Field) -> Field;
}

impl<T: Clone> FillsOr<T> for T {
    fn fill_or(&self, _: fn() -> T) -> T {
        self.clone()
    }
}

impl<T: Clone> FillsOr<T> for Option<T> {
    fn fill_or(&self, default: fn() -> T) -> T {
        self.clone().unwrap_or_else(default)
    }
}

/// A complete payload, the argument of a notification's `new`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a populated `{P}`",
    label = "this is not a complete payload",
    note = "populate it first: `{P}::populate(&source, extra)` takes the fields that the schema names from the source, \
            and gives the payload"
)]
pub trait IntoPayload<P> {
    /// Returns the payload without its wrapper.
    fn into_payload(self) -> P;
}

impl<P: VersionedObject> IntoPayload<P> for P {
    fn into_payload(self) -> P {
        self
    }
}
