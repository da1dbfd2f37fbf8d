//! A JSON object that keeps the order of its keys, so that metadata is sent in its original order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use osnl_model::{ForeignJson, memory_of};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::bounds::{Bound, METADATA_BYTES, METADATA_KEYS};

/// Keys and values in the order of the text; of a repeated key the last value counts, as in Python.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderedMap(pub Vec<(String, Value)>);

impl OrderedMap {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn bounded(mut self) -> Self {
        let mut left = METADATA_BYTES;
        let fits = |(key, value): &&(String, Value)| {
            let rest = left.checked_sub(key.len() + memory_of(value));
            rest.inspect(|rest| left = *rest).is_some()
        };
        let kept = self.0.iter().take(METADATA_KEYS).take_while(fits).count();
        if kept < self.0.len() {
            Bound::Metadata.exceeded();
            self.0.truncate(kept);
            self.0.shrink_to_fit();
        }
        self
    }

    pub(super) fn memory(&self) -> usize {
        let of = |(key, value): &(String, Value)| size_of::<(String, Value)>() + key.len() + memory_of(value);
        self.0.iter().map(of).sum()
    }

    pub(super) fn at(text: &str, path: &[&str]) -> Option<Self> {
        let Some((first, rest)) = path.split_first() else { return serde_json::from_str(text).ok() };
        let members: RawObject<'_> = serde_json::from_str(text).ok()?;
        let (_, value) = members.0.iter().rev().find(|(name, _)| name == first)?;
        Self::at(value.get(), rest)
    }
}

#[derive(Default)]
struct Members {
    members: Vec<(String, Value)>,
    places: HashMap<String, usize>,
}

impl Members {
    fn add(&mut self, key: String, value: Value) {
        match self.places.entry(key) {
            Entry::Occupied(place) => self.members[*place.get()].1 = value,
            Entry::Vacant(place) => {
                self.members.push((place.key().clone(), value));
                place.insert(self.members.len() - 1);
            }
        }
    }
}

impl FromIterator<(String, Value)> for OrderedMap {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        let mut members = Members::default();
        pairs.into_iter().for_each(|(key, value)| members.add(key, value));
        Self(members.members)
    }
}

impl Serialize for OrderedMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for OrderedMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = OrderedMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedMap, A::Error> {
        let mut members = Members::default();
        while let Some((key, ForeignJson(value))) = map.next_entry::<String, ForeignJson>()? {
            members.add(key, value);
        }
        Ok(OrderedMap(members.members))
    }
}

struct RawObject<'a>(Vec<(String, &'a serde_json::value::RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawMembers<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for RawMembers<'a> {
            type Value = RawObject<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'a>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(RawMembers(std::marker::PhantomData))
    }
}
