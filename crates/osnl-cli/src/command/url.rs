//! The URL of a broker, in oslo.messaging's form or in that of AMQP programs.
//!
//! | written | means |
//! | --- | --- |
//! | `rabbit://…`, `kombu://…` | itself |
//! | `amqp://guest:guest@host:5672//`, `pyamqp://…` | `rabbit://guest:guest@host:5672//`: kombu's double slash is the virtual host `/` |
//! | `amqps://user:password@host/vhost` | `rabbit://user:password@host:5671/vhost?ssl=1` |
//! | `file:///path` | the one line of that file, so that the list of processes shows no password |

use anyhow::{Context as _, anyhow};
use osnl_config::secret_file::secret_or_file;
use osnl_model::TransportUrl;

/// Parses any of the forms. An error never contains the URL.
pub(super) fn read(text: &str) -> anyhow::Result<TransportUrl> {
    let read =
        secret_or_file(text).map_err(|error| anyhow!("the URL's file: {error}; {}", error.remedy()))?;
    match text.strip_prefix("file://") {
        Some(path) => parse(read.trim()).with_context(|| format!("the content of {path}")),
        None => parse(&read),
    }
}

fn parse(text: &str) -> anyhow::Result<TransportUrl> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let url = match scheme.to_ascii_lowercase().as_str() {
        "amqp" | "pyamqp" => TransportUrl::parse(&format!("rabbit://{rest}")),
        "amqps" => TransportUrl::parse(&format!("amqps://{rest}")).and_then(|url| {
            let url = url.with_option("ssl", "1").to_string_with_secrets();
            TransportUrl::parse(&url.replacen("amqps", "rabbit", 1))
        }),
        _ => TransportUrl::parse(text),
    };
    url.map_err(|error| anyhow!("the transport URL: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_means_a_rabbit_url() {
        let check = |text: &str, expected: &str, virtual_host: &str| {
            let url = read(text).unwrap();
            assert_eq!(url.to_string_with_secrets(), expected, "{text}");
            assert_eq!(url.virtual_host(), virtual_host, "{text}");
        };
        check("amqp://guest:guest@localhost:5672//", "rabbit://guest:guest@localhost:5672/", "/");
        check("AMQP://h/%2F", "rabbit://h/", "/");
        check("pyamqp://u:p%40@h/v", "rabbit://u:p%40@h/v", "v");
        check("rabbit://u:p@h1,h2:5673/v", "rabbit://u:p@h1,h2:5673/v", "v");
        check("amqps://u:p@h/v", "rabbit://u:p@h:5671/v?ssl=1", "v");
        check("amqps://u:p@[::1],h2:7?x=1#f", "rabbit://u:p@[::1]:5671,h2:7/?x=1&ssl=1", "/");
        check("amqps://h", "rabbit://h:5671/?ssl=1", "/");
    }

    #[test]
    fn a_file_holds_the_url_and_no_error_shows_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "amqp://u:S3CRET@h:5672//\n").unwrap();
        let url = read(&format!("file://{}", file.path().display())).unwrap();
        assert_eq!(url.hosts()[0].credentials(), ("u", "S3CRET"));
        std::fs::write(file.path(), "rabbit://u:S3/CRET@h:x\n").unwrap();
        for text in [&format!("file://{}", file.path().display()), "amqp://u:S3/CRET@h", "S3CRET"] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(!error.contains("CRET"), "{error}");
        }
        assert!(read("file:///nonexistent/url").unwrap_err().to_string().contains("/nonexistent/url"));
    }
}
