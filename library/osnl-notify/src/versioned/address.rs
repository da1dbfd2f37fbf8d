use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::ser::Serializer;

use super::{FieldError, FieldKind, FieldType, Json};

/// A MAC address, written in lower case with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// The error of a malformed MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address is six pairs of hex digits with colons between them, such as fa:16:3e:00:00:01")]
pub struct MacAddressError;

impl FromStr for MacAddress {
    type Err = MacAddressError;

    /// Accepts either case, but no dashes, as oslo.versionedobjects does.
    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let byte = |pair: &str| -> Option<u8> {
            let plain = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            if plain { u8::from_str_radix(pair, 16).ok() } else { None }
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(MacAddressError)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

macro_rules! parsed {
    ($($type:ty, $kind:literal, $expected:literal;)*) => {$(
        impl FieldType for $type {
            const KIND: FieldKind = FieldKind::named($kind);

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }

            fn read(value: &Json) -> Result<Self, FieldError> {
                let text = value.as_text().ok_or_else(|| FieldError::kind("a text", value))?;
                text.parse().map_err(|_| FieldError::value($expected))
            }
        }
    )*};
}

parsed! {
    MacAddress, "MACAddress", "MAC address";
    IpAddr, "IPV4AndV6Address", "IP address";
    Ipv4Addr, "IPV4Address", "IPv4 address";
    Ipv6Addr, "IPV6Address", "IPv6 address";
}
