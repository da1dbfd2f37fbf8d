use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Proxies {
    let variables: Vec<(OsString, OsString)> =
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Proxies::from_environment(&variables)
}

fn recorded() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/k2hr3/proxies.json");
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    recorded["cases"].as_array().unwrap().clone()
}

fn decided(case: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let variables =
        case["environment"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1])));
    let variables: Vec<(OsString, OsString)> =
        variables.map(|(name, value)| (name.into(), value.into())).collect();
    let scheme = if case["scheme"] == "http" { Scheme::Http } else { Scheme::Https };
    let proxies = Proxies::from_environment(&variables);
    match proxies.toward(scheme, case["authority"].as_str().unwrap()) {
        Ok(None) => json!({"proxy": null}),
        Ok(Some(proxy)) => {
            let host = proxy.uri().host().unwrap().trim_matches(['[', ']']);
            let mut decided = json!({"proxy": [host, proxy.uri().port_u16()]});
            if let Some(login) = proxy.authorization() {
                decided["login"] = json!(login.to_str().unwrap());
            }
            decided
        }
        Err(_) => json!({"error": true}),
    }
}

#[test]
fn requests_go_where_urllib_sends_them() {
    let cases = recorded();
    assert!(cases.len() > 300, "only {} cases", cases.len());
    let mut refused = BTreeMap::new();
    for case in &cases {
        let decided = decided(case);
        let expected: Value = ["proxy", "login"]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), case.get(key)?.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        if decided.get("error").is_some() {
            let url = case["environment"][0][1].as_str().unwrap();
            refused.insert((case["scheme"].as_str().unwrap().to_owned(), url.to_owned()), expected);
        } else {
            assert_eq!(decided, expected, "{case}");
        }
    }
    // urllib refuses these proxies too, would use TLS, or would ignore their scheme.
    let refused: Vec<String> =
        refused.iter().map(|((scheme, url), urllib)| format!("{scheme} {url} {urllib}")).collect();
    let expected = [
        "http HTTPS://proxy {}",
        "http ftp://proxy {}",
        "http http:/proxy {}",
        "http http:proxy:3128 {\"proxy\":[\"http:proxy\",3128]}",
        "http https://proxy {}",
        "http https://proxy:3128 {}",
        "http socks5://proxy:1080 {}",
        "https ftp://proxy {\"proxy\":[\"proxy\",443]}",
        "https http:/proxy {}",
        "https http:proxy:3128 {\"proxy\":[\"http:proxy\",3128]}",
        "https socks5://proxy:1080 {\"proxy\":[\"proxy\",1080]}",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn an_ipv6_target_is_exempt_without_its_brackets_too() {
    let check = |no_proxy: &str, expected: bool| {
        let proxies = environment(&[("http_proxy", "p:1"), ("no_proxy", no_proxy)]);
        let through = proxies.toward(Scheme::Http, "[fd00::1]:80").unwrap();
        assert_eq!(through.is_none(), expected, "{no_proxy}");
    };
    check("fd00::1", true);
    check("FD00::1, x", true);
    check("[fd00::1]", true);
    check("fd00::2", false);
}

#[test]
fn a_wrong_proxy_is_named_without_its_password() {
    let check = |name: &'static str, url: &str, expected: &str| {
        let proxies = environment(&[(name, url)]);
        let scheme = if name == "http_proxy" { Scheme::Http } else { Scheme::Https };
        let error = proxies.toward(scheme, "h").unwrap_err();
        let allowed = "write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";
        assert_eq!(error.to_string(), format!("{name} of the environment: {expected}; {allowed}"));
    };
    let host = "host and port are neither a name nor an address with a port";
    check("http_proxy", "https://u:secret@proxy", "a proxy with TLS (https://) is not supported");
    check("https_proxy", "socks5://u:secret@proxy", "only http:// proxies can be used");
    check("http_proxy", "http:/u:secret@proxy", "the proxy's host is missing");
    check("http_proxy", "http://u:secret@", host);
    check("http_proxy", "http://u:secret@proxy:http", host);
    check("http_proxy", "http://u:secret@proxy:99999", host);
    check("http_proxy", "http://u:secret@pro xy", host);
    check("http_proxy", "http://u:secret@proxy%2Fx", host);
    check("http_proxy", "http://u:secret@proxy?x", host);
    check("http_proxy", "http://u:secret@fd00::1:8", host);
}

#[test]
fn a_proxy_with_a_login_is_named_by_its_variable_and_host() {
    let check = |variables: &[(&str, &str)], expected: &[(&str, &str)]| {
        let logins = environment(variables).logins();
        let logins: Vec<(&str, &str)> = logins.iter().map(|(name, host)| (*name, &**host)).collect();
        assert_eq!(logins, expected);
    };
    check(&[], &[]);
    check(&[("http_proxy", "http://proxy:3128"), ("https_proxy", "proxy")], &[]);
    check(&[("http_proxy", "http://u@proxy:3128")], &[]);
    check(&[("HTTP_PROXY", "http://u:p@proxy:3128")], &[("http_proxy", "proxy")]);
    check(
        &[("http_proxy", "u:p@[fd00::1]:1"), ("https_proxy", "http://u:p@two")],
        &[("http_proxy", "fd00::1"), ("https_proxy", "two")],
    );
    check(&[("https_proxy", "socks5://u:p@proxy")], &[]);
}

#[test]
fn no_login_is_printed() {
    let proxies =
        environment(&[("http_proxy", "http://user:secret@proxy:1"), ("https_proxy", "user:secret@p")]);
    let proxy = proxies.toward(Scheme::Http, "h").unwrap().unwrap();
    assert_eq!(proxy.to_string(), "proxy:1");
    assert_eq!(proxy.authorization().unwrap(), "Basic dXNlcjpzZWNyZXQ=");
    let printed = format!("{proxies:?} {proxy:?} {:?}", proxy.authorization());
    for secret in ["secret", "user", "dXNl"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(printed.contains("Proxy(proxy:1)"), "{printed}");
}

#[test]
fn an_entry_of_no_proxy_that_exempts_nothing_is_found() {
    let check = |proxy: &str, no_proxy: &str, expected: &[&str]| {
        let variables = [("http_proxy", proxy), ("no_proxy", no_proxy)].map(|(k, v)| (k.into(), v.into()));
        let proxies = Proxies::from_environment(&variables);
        assert_eq!(proxies.vain_exemptions(), expected, "{no_proxy}");
        let is_proxied = |host| proxies.toward(Scheme::Http, host).unwrap().is_some();
        let is_exempt = proxy.is_empty() || no_proxy == "*";
        assert!(["10.1.2.3", "a.cloud.example"].into_iter().all(|host| is_proxied(host) != is_exempt));
    };
    let odd = "localhost, 10.0.0.0/8,*.cloud.example,.example.com,h:80,[::1],a b.c";
    check("http://p:3128", odd, &["10.0.0.0/8", "*.cloud.example", "a b.c"]);
    check("http://p:3128", "*", &[]);
    check("http://p:3128", "a, *", &["*"]);
    let lists =
        "a;b.example,10.,192.168.,.b.example.,\"a\",<local>,2001:db8::/32,10.0.0.1-10.0.0.9,10.0.0.1-9:80";
    check("http://p:3128", lists, &lists.split(',').collect::<Vec<_>>());
    check(
        "http://p:3128",
        "10.9.9.9,10.9.9.9:80,10-0-0-1,10-0-0-1.example,::1,2001:db8::1,[::1]:80,a_b,bücher.example, ,.x",
        &[],
    );
    check("", odd, &[]);
}
