use std::net::IpAddr;

use serde_json::Value;

use super::data;
use osnl_model::Timestamp;

/// A member of a payload's object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Field<'a, T> {
    /// The object has no such member, so its value is unknown.
    #[default]
    Absent,
    /// Null, or `""` in place of a date or an address: there is no value.
    Null,
    /// A value of the expected type.
    Is(T),
    /// A value of an unexpected type.
    Odd(&'a Value),
}

impl<'a, T: Read<'a>> Field<'a, T> {
    /// Reads a member of an object.
    #[must_use]
    pub fn from_member(object: &'a Value, key: &str) -> Self {
        match object.get(key) {
            None => Self::Absent,
            Some(Value::Null) => Self::Null,
            Some(value) => match T::read(value) {
                Some(read) => Self::Is(read),
                None if value.as_str() == Some("") => Self::Null,
                None => Self::Odd(value),
            },
        }
    }
}

impl<'a, T> Field<'a, T> {
    /// Returns the value, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Null | Self::Odd(_) => None,
        }
    }

    /// Returns the value, if there is one.
    #[must_use]
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Null | Self::Odd(_) => None,
        }
    }

    /// Returns the state of the field.
    #[must_use]
    pub fn state(&self) -> FieldState {
        match self {
            Self::Absent => FieldState::Absent,
            Self::Null => FieldState::Null,
            Self::Is(_) => FieldState::Is,
            Self::Odd(_) => FieldState::Odd,
        }
    }
}

impl<'a> Field<'a, &'a str> {
    /// Returns the text unless empty: services write `""` for a missing value.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        self.get().copied().filter(|text| !text.is_empty())
    }
}

/// The state of a [`Field`], without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldState {
    /// The state of [`Field::Absent`] fields.
    Absent,
    /// The state of [`Field::Null`] fields.
    Null,
    /// The state of [`Field::Is`] fields.
    Is,
    /// The state of [`Field::Odd`] fields.
    Odd,
}

/// A type that can be read from a JSON value; `None` stands for a value of another type.
pub trait Read<'a>: Sized {
    /// Reads the value, if the type fits.
    fn read(value: &'a Value) -> Option<Self>;
}

/// An object of a service, read into a struct of [`Field`]s.
pub trait View<'a>: Read<'a> {
    /// The keys of the view's fields, as on the wire.
    const KEYS: &'static [&'static str];

    /// Returns the state of each of [`Self::KEYS`], in their order.
    fn states(&self) -> Vec<FieldState>;
}

impl<'a> Read<'a> for &'a str {
    fn read(value: &'a Value) -> Option<Self> {
        value.as_str()
    }
}

impl<'a> Read<'a> for bool {
    fn read(value: &'a Value) -> Option<Self> {
        value.as_bool()
    }
}

impl<'a> Read<'a> for i64 {
    /// Also accepts a number in a string, such as glance's `min_disk` in nova's image properties.
    fn read(value: &'a Value) -> Option<Self> {
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}

impl<'a> Read<'a> for Timestamp {
    fn read(value: &'a Value) -> Option<Self> {
        Timestamp::parse(value.as_str()?).ok()
    }
}

impl<'a> Read<'a> for IpAddr {
    fn read(value: &'a Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl<'a, T: Read<'a>> Read<'a> for Vec<T> {
    /// Skips items of another type, so that the other items are still read.
    fn read(value: &'a Value) -> Option<Self> {
        Some(value.as_array()?.iter().filter_map(|item| T::read(item)).collect())
    }
}

pub(super) fn object(value: &Value) -> Option<&Value> {
    let object = data(value);
    object.is_object().then_some(object)
}

macro_rules! view {
    ($($(#[$doc:meta])* pub struct $name:ident<'a> {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: $crate::service::Field<'a, $type>,)*
        }

        impl<'a> $crate::service::Read<'a> for $name<'a> {
            fn read(value: &'a serde_json::Value) -> Option<Self> {
                let object = $crate::service::field::object(value)?;
                Some(Self { $($field: $crate::service::Field::from_member(object, $key),)* })
            }
        }

        impl<'a> $crate::service::View<'a> for $name<'a> {
            const KEYS: &'static [&'static str] = &[$($key,)*];

            fn states(&self) -> Vec<$crate::service::FieldState> {
                vec![$(self.$field.state(),)*]
            }
        }
    )*};
}
pub(super) use view;
