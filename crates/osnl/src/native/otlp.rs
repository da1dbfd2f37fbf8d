//! `[otlp]`: the collector that gets a trace of each event.

use std::path::PathBuf;

use osnl_config::OptionDef;
use osnl_config::sections::SectionReader;
use osnl_http::{HttpOptions, Url};
use osnl_openstack::ApiSecret;

use crate::action::driver::{NativeReader as _, TlsConf, login_at};

/// The options of `[otlp]`.
#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDef] = &[
    OptionDef::new("traces_endpoint", "URL", "The URL that spans are posted to, with its path, such as http://127.0.0.1:4318/v1/traces."),
    OptionDef::new("authorization", "text", "The value of the header Authorization, such as Bearer TOKEN.").secret(),
    OptionDef::new("ca_file", "path", "A PEM file with the certificates to trust for the collector, instead of the system's."),
];

/// A checked `[otlp]` that names a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConf {
    /// The URL that spans are posted to, with its path.
    pub traces_endpoint: Url,
    /// The value of `Authorization`.
    pub authorization: Option<ApiSecret>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl OtlpConf {
    /// Returns the options of its requests: those of `http` where the section has none.
    #[must_use]
    pub fn http(&self, http: &HttpOptions) -> HttpOptions {
        TlsConf { verify: true, ca_file: self.ca_file.clone() }.http(http)
    }
}

/// Reads it; `Some(None)` if it is off.
pub(super) fn otlp(reader: &mut SectionReader<'_>) -> Option<Option<OtlpConf>> {
    const ENDPOINT: &str = "traces_endpoint";
    let authorization = authorization(reader);
    let ca_file = reader.path("ca_file", "write the path of a PEM file, or remove the line");
    if !reader.is_set(ENDPOINT) {
        for option in ["authorization", "ca_file"] {
            if reader.is_set(option) {
                reader.warn(
                    option,
                    "has no effect without traces_endpoint",
                    "set traces_endpoint, or remove the line",
                );
            }
        }
        return Some(None);
    }
    let text = reader.text(ENDPOINT)?;
    let traces_endpoint = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => return reader.refuse(ENDPOINT, error.problem, error.allowed),
    };
    let authorization = authorization?;
    if authorization.is_some() {
        reader.warn_of_logins(&[login_at(ENDPOINT, &traces_endpoint)]);
    }
    Some(Some(OtlpConf { traces_endpoint, authorization, ca_file: ca_file? }))
}

fn authorization(reader: &mut SectionReader<'_>) -> Option<Option<ApiSecret>> {
    const OPTION: &str = "authorization";
    if !reader.is_set(OPTION) {
        return Some(None);
    }
    let text = reader.text(OPTION)?;
    let is_value = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.is_empty() || !text.bytes().all(is_value) {
        let allowed = "write it as the collector expects it, such as Bearer TOKEN, or file:///path";
        return reader.refuse(OPTION, "is not the value of a header", allowed);
    }
    Some(Some(ApiSecret::new(text)))
}
