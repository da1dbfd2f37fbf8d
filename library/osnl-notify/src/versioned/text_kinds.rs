//! Field kinds whose values are unchecked strings, and networks.

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
            /// Returns the text as it was given.
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
    /// A UUID, unchecked: oslo.versionedobjects sends a malformed text with a warning, so readers must accept
    /// it.
    Uuid, "UUID"
}

text_kind! {
    /// The address of a PCI device, such as `0000:00:1f.2`, unchecked.
    PciAddress, "PCIAddress"
}

text_kind! {
    /// A condition on versions, such as `>=1.0`, unchecked.
    VersionPredicate, "VersionPredicate"
}

/// A text that holds a secret: written in full, masked in debug output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SensitiveText(String);

const HIDDEN: &str = "***";

impl SensitiveText {
    /// Returns the secret in clear text.
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
        f.write_str(HIDDEN)
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

    fn hide_field(&mut self) {
        HIDDEN.clone_into(&mut self.0);
    }
}

/// A network of either family: `10.0.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

impl IpNetwork {
    /// Makes a network of an address and a prefix length; `None` if the prefix is longer than the address.
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
