use std::path::PathBuf;

use super::{OptionDef, SectionReader};
use osnl_net::http::{HttpOptions, Verification};

pub const VERIFY: OptionDef =
    OptionDef::new("verify", "boolean", "false: neither certificate nor host name is verified.").or("true");
pub const CA_FILE: OptionDef =
    OptionDef::new("ca_file", "path", "PEM file of the certificates to trust instead of the system's.");

pub const UNVERIFIED: &str =
    "the certificate of the target and its name are not verified, and a forged target would be trusted";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConf {
    pub verify: bool,
    pub ca_file: Option<PathBuf>,
}

impl TlsConf {
    pub fn read(reader: &mut SectionReader<'_>, may_have_tls: bool) -> Option<Self> {
        let verify = reader.boolean("verify");
        let ca_file = reader.path("ca_file", "write the path of a PEM file, or remove the line");
        if may_have_tls && verify == Some(false) {
            reader.warn("verify", UNVERIFIED, "name the file of its CA's certificate in ca_file");
        }
        Some(Self { verify: verify?, ca_file: ca_file? })
    }

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
