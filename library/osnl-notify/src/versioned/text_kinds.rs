//! Field kinds whose values are texts that are passed on as they are, and networks.

use std::fmt;
use std::net::IpAddr;

use serde::ser::Serializer;

use super::{FieldError, FieldKind, FieldType, Json};

macro_rules! text_kind {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FieldType for $type {
            const KIND: FieldKind = FieldKind::named($kind);

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }

            fn read(value: &Json) -> Result<Self, FieldError> {
                String::read(value).map(Self)
            }
        }
    };
}

text_kind! {
    /// A UUID, as given: oslo.versionedobjects warns about a text that is none and sends it, so readers must not insist.
    Uuid, "UUID"
}

text_kind! {
    /// The address of a PCI device, `0000:00:1f.2`, as given.
    PciAddress, "PCIAddress"
}

text_kind! {
    /// A condition on versions, such as `>=1.0`, as given.
    VersionPredicate, "VersionPredicate"
}

/// A text that holds a secret: written in full, never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SensitiveText(String);

impl SensitiveText {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SensitiveText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for SensitiveText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SensitiveText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FieldType for SensitiveText {
    const KIND: FieldKind = FieldKind::named("SensitiveString");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        String::read(value).map(Self)
    }
}

/// A network of either family: `10.0.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

impl IpNetwork {
    /// A network of an address in it and the length of its prefix; `None` when that is longer than the address.
    pub const fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let longest = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix > longest { None } else { Some(Self { address, prefix }) }
    }

    /// The address in front of the slash.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of bits of the network.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FieldType for IpNetwork {
    const KIND: FieldKind = FieldKind::named("IPNetwork");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        let text = value.as_text().ok_or_else(|| FieldError::kind("a text", value))?;
        text.split_once('/')
            .and_then(|(address, prefix)| Self::new(address.parse().ok()?, prefix.parse().ok()?))
            .ok_or_else(|| FieldError::value("network, such as 10.0.0.0/24"))
    }
}
