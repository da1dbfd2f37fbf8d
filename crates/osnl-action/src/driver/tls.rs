use std::path::PathBuf;

use osnl_config::OptionValue;
use osnl_config::{Options as _, options};
use osnl_net::http::{HttpOptions, Verification};

use super::SectionReader;

pub const UNVERIFIED: &str =
    "the certificate of the target and its name are not verified, and a forged target would be trusted";

options! {
    /// The options by which an action trusts its target's certificate.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TlsConf {
        verify: bool = "true" => "false: neither certificate nor host name is verified.";
        ca_file: Option<PathBuf>, otherwise("write the path of a PEM file, or remove the line") => "PEM file of the certificates to trust instead of the system's.";
    }
}

impl TlsConf {
    /// Reads the options, and warns of `verify = false` where the target may have TLS.
    pub fn checked(reader: &mut SectionReader<'_>, may_have_tls: bool) -> Option<Self> {
        let tls = Self::read(reader);
        if may_have_tls && OptionValue::valid(reader, "verify") == Some(false) {
            reader.warn("verify", UNVERIFIED, "name the file of its CA's certificate in ca_file");
        }
        tls
    }

    /// Returns the program's options with this trust.
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
