use osnl_model::{LoginProtection, SentLogin};
use osnl_net::http::HttpOptions;

const REMEDY: &str = "name a proxy on this machine, or one that asks for no login";

/// Warns of each remote proxy with a login, because no proxy connection uses TLS.
#[must_use]
pub fn proxy_warnings(http: &HttpOptions) -> Vec<String> {
    let logins = http.proxies.logins().into_iter();
    let logins =
        logins.map(|(variable, host)| SentLogin::new(variable, host, LoginProtection::Clear, REMEDY));
    let said = |login: SentLogin| {
        let (problem, remedy) = login.finding()?;
        Some(format!("{} of the environment: {problem}; {remedy}", login.option))
    };
    logins.filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_46_a_login_at_a_proxy_is_named() {
        let check = |proxy: &str, expected: &[&str]| {
            let variables = [("http_proxy", proxy), ("no_proxy", "a")].map(|(k, v)| (k.into(), v.into()));
            let said = proxy_warnings(&HttpOptions::from_environment(variables));
            assert_eq!(said.len(), expected.len(), "{said:?}");
            for (said, begin) in said.iter().zip(expected) {
                assert!(said.starts_with(begin) && !said.contains("secret"), "{said}");
            }
        };
        check(
            "http://u:secret@proxy:3128",
            &["http_proxy of the environment: the login goes to proxy in clear"],
        );
        check("http://u:secret@127.0.0.1:3128", &[]);
        check("http://proxy:3128", &[]);
    }
}
