//! The client library does not hand over these properties, so this code reads the stream, which passes unchanged. Only
//! texts are read, no nested table, and at most [`MOST`] bytes. A malformed part ends the reading, and the texts before
//! it count.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::topology::BrokerVersion;

/// The broker's own words about itself, from its first frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    pub product: Option<String>,
    pub version: Option<String>,
    pub cluster: Option<String>,
    pub mechanisms: Vec<String>,
    pub locales: Vec<String>,
}

impl Greeting {
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let Self { product, version, cluster, .. } = self;
        let broker = match (product, version) {
            (Some(product), Some(version)) => Some(format!("{product} {version}")),
            (Some(product), None) => Some(product.clone()),
            (None, Some(version)) => Some(format!("version {version}")),
            (None, None) => None,
        };
        let cluster = cluster.as_ref().map(|name| format!("cluster {name}"));
        let words: Vec<String> = [broker, cluster].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    #[must_use]
    pub fn rabbitmq(&self) -> Option<BrokerVersion> {
        let is_rabbit = self.product.as_deref() == Some("RabbitMQ");
        BrokerVersion::read(self.version.as_deref().filter(|_| is_rabbit)?)
    }
}

/// The limit of bytes: the protocol's first frame is smaller than 4 kB.
const MOST: usize = 8 * 1024;
const LONGEST: usize = 100;
const HEADER: usize = 7;
const METHOD: [u8; 3] = [1, 0, 0];
const START: [u8; 4] = [0, 10, 0, 10];

/// Reads the greeting from the passing bytes.
pub(super) struct GreetingReader {
    bytes: Vec<u8>,
    told: Arc<OnceLock<Greeting>>,
}

impl GreetingReader {
    pub(super) const fn new(told: Arc<OnceLock<Greeting>>) -> Self {
        Self { bytes: Vec::new(), told }
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) -> bool {
        let room = MOST - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some(whole) = frame_end(&self.bytes) else { return false };
        if self.bytes.len() < whole {
            return false;
        }
        let _ = self.told.set(read(&self.bytes[..whole]));
        true
    }
}

fn frame_end(bytes: &[u8]) -> Option<usize> {
    if bytes.len() >= METHOD.len() && !bytes.starts_with(&METHOD) {
        return Some(0);
    }
    let size = bytes.get(METHOD.len()..HEADER)?.try_into().ok()?;
    Some(HEADER.saturating_add(u32::from_be_bytes(size) as usize).min(MOST))
}

fn read(frame: &[u8]) -> Greeting {
    let mut greeting = Greeting::default();
    let mut rest = Octets(frame.get(HEADER..).unwrap_or_default());
    let is_start = rest.take(START.len()) == Some(&START);
    let _protocol_version = rest.take(2);
    let Some(length) = rest.long().filter(|_| is_start) else { return greeting };
    let table = &rest.0[..length.min(rest.0.len())];
    if rest.take(length).is_some() {
        greeting.mechanisms = rest.words();
        greeting.locales = rest.words();
    }
    let _ = properties(Octets(table), &mut greeting);
    greeting
}

fn properties(mut table: Octets<'_>, greeting: &mut Greeting) -> Option<()> {
    while !table.0.is_empty() {
        let name = table.short_text()?;
        let value = table.value()?;
        let place = match name {
            b"product" => &mut greeting.product,
            b"version" => &mut greeting.version,
            b"cluster_name" => &mut greeting.cluster,
            _ => continue,
        };
        *place = value.map(shown).filter(|text| !text.is_empty());
    }
    Some(())
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// Reads values of a frame from the front.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn long(&mut self) -> Option<usize> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?) as usize)
    }

    fn words(&mut self) -> Vec<String> {
        let text = self.long().and_then(|length| self.take(length)).unwrap_or_default();
        text.split(u8::is_ascii_whitespace).map(shown).filter(|word| !word.is_empty()).collect()
    }

    fn short_text(&mut self) -> Option<&'a [u8]> {
        let [length] = *self.take(1)? else { return None };
        self.take(usize::from(length))
    }

    /// Skips a value of a table, or returns a text. The types are those that RabbitMQ writes
    /// (`rabbit_binary_parser.erl`); after another type nothing can be read, since its length is unknown.
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        let [kind] = *self.take(1)? else { return None };
        let length = match kind {
            b'S' => {
                let length = self.long()?;
                return Some(Some(self.take(length)?));
            }
            b'F' | b'A' | b'x' => self.long()?,
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            _ => return None,
        };
        self.take(length)?;
        Some(None)
    }
}

impl fmt::Debug for GreetingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreetingReader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
