//! The two options of every driver that talks HTTP: whom to believe.

use std::path::PathBuf;

use super::{OptionDef, SectionReader};
use osnl_http::{HttpOptions, Verification};

/// Whether certificate and name are checked.
pub const VERIFY: OptionDef =
    OptionDef::new("verify", "boolean", "false: neither certificate nor host name is verified.").or("true");
/// The certificates to trust.
pub const CA_FILE: OptionDef =
    OptionDef::new("ca_file", "path", "PEM file of the certificates to trust instead of the system's.");

/// The values of `verify` and `ca_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConf {
    /// Whether certificate and name are checked.
    pub verify: bool,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl TlsConf {
    /// Reads both options.
    pub fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let verify = reader.boolean("verify");
        let ca_file = reader.path("ca_file", "write the path of a PEM file, or remove the line");
        Some(Self { verify: verify?, ca_file: ca_file? })
    }

    /// Returns the HTTP options for the target.
    pub fn http(&self, http: &HttpOptions) -> HttpOptions {
        let mut http = http.clone();
        if !self.verify {
            http.verification = Verification::None;
        } else if let Some(path) = &self.ca_file {
            http.verification = Verification::Ca(vec![path.clone()]);
            http.ca_remedy = "name a PEM file in ca_file, or remove it to trust the system's";
        }
        http
    }
}
