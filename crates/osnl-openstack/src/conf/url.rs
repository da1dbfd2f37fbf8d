use osnl_net::http::Url;

use super::CloudConfError;

/// Returns the URL of Keystone v3 for any URL of Keystone. A URL that ends in `/v2.0` served v3
/// beside it; a URL without version is the root, below which Keystone serves `/v3`.
pub(super) fn auth_url(text: &str) -> Result<Url, CloudConfError> {
    let wrong =
        |error: osnl_net::http::UrlError| CloudConfError::new("auth_url", error.problem, error.allowed);
    let url = Url::parse(text.trim()).map_err(wrong)?;
    if url.has_query() {
        return Err(CloudConfError::new("auth_url", "has a query", "write it up to /v3"));
    }
    let written = url.to_string();
    let base = written.trim_end_matches('/');
    // Documentation of token requests contains such URLs.
    let base = base.strip_suffix("/auth/tokens").or_else(|| base.strip_suffix("/tokens")).unwrap_or(base);
    let base = base.strip_suffix("/v2.0").or_else(|| base.strip_suffix("/v3")).unwrap_or(base);
    Url::parse(&format!("{base}/v3")).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_auth_url_leads_to_v3() {
        for (text, expected) in [
            ("http://h:5000/v3", "http://h:5000/v3"),
            ("http://h:5000/v3/", "http://h:5000/v3"),
            ("http://h:5000/v2.0", "http://h:5000/v3"),
            ("http://h:5000/v2.0/", "http://h:5000/v3"),
            ("http://h:5000", "http://h:5000/v3"),
            ("https://h/identity/", "https://h/identity/v3"),
            ("https://h/identity/v3/auth/tokens", "https://h/identity/v3"),
            (" http://h/v2.0/tokens ", "http://h/v3"),
        ] {
            assert_eq!(auth_url(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["h:5000/v3", "http://u:p@h/v3", "http://h/v3?a=b", ""] {
            let error = auth_url(text).unwrap_err();
            assert_eq!(error.option, "auth_url", "{text}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }
}
