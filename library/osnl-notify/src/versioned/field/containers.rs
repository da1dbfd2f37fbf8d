use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{SerializeMap as _, Serializer};

use super::{FieldError, FieldType, Wire};
use crate::versioned::{FieldKind, Json};

/// A dictionary with values of one kind, in the order of insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dict<T>(pub Vec<(String, T)>);

impl<T> Default for Dict<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Into<String>, T> FromIterator<(K, T)> for Dict<T> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(members: I) -> Self {
        Self(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

impl<T: FieldType> FieldType for Vec<T> {
    const KIND: FieldKind = FieldKind::container("List", &T::KIND);
    const MASKS: bool = T::MASKS;

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Wire))
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        read_items(value)
    }

    fn mask_field(&mut self) {
        self.iter_mut().for_each(T::mask_field);
    }

    fn hide_field(&mut self) {
        self.iter_mut().for_each(T::hide_field);
    }
}

impl<T: FieldType + Ord> FieldType for BTreeSet<T> {
    const KIND: FieldKind = FieldKind::container("Set", &T::KIND);

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Wire))
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        read_items(value)
    }

    fn hide_field(&mut self) {
        let hidden = |mut item: T| {
            item.hide_field();
            item
        };
        *self = std::mem::take(self).into_iter().map(hidden).collect();
    }
}

fn read_items<T: FieldType, C: FromIterator<T>>(value: &Json) -> Result<C, FieldError> {
    match value {
        Json::Array(items) => {
            let read =
                |(at, item)| T::read(item).map_err(|error: FieldError| error.below(&format!("[{at}]")));
            items.iter().enumerate().map(read).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => {
            Err(FieldError::kind("an array", value))
        }
    }
}

impl<T: FieldType> FieldType for Dict<T> {
    const KIND: FieldKind = FieldKind::container("Dict", &T::KIND);
    const MASKS: bool = T::MASKS;

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_members(self.0.iter().map(|(key, value)| (key, value)), serializer)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        read_members(value).map(Self)
    }

    fn mask_field(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.mask_field());
    }

    fn hide_field(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.hide_field());
    }
}

impl<T: FieldType> FieldType for BTreeMap<String, T> {
    const KIND: FieldKind = FieldKind::container("Dict", &T::KIND);
    const MASKS: bool = T::MASKS;

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_members(self.iter(), serializer)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        read_members(value)
    }

    fn mask_field(&mut self) {
        self.values_mut().for_each(T::mask_field);
    }

    fn hide_field(&mut self) {
        self.values_mut().for_each(T::hide_field);
    }
}

fn write_members<'a, T: FieldType + 'a, S: Serializer>(
    members: impl ExactSizeIterator<Item = (&'a String, &'a T)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(members.len()))?;
    for (key, value) in members {
        map.serialize_entry(key, &Wire(value))?;
    }
    map.end()
}

fn read_members<T: FieldType, C: FromIterator<(String, T)>>(value: &Json) -> Result<C, FieldError> {
    let object = value.as_object().ok_or_else(|| FieldError::kind("an object", value))?;
    let read = |(key, value): (&str, &Json)| match T::read(value) {
        Ok(value) => Ok((key.to_owned(), value)),
        Err(error) => Err(error.below(key)),
    };
    object.iter().map(read).collect()
}
