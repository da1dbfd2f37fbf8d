use osnl_model::{LoginProtection, SentLogin, mask_text};
use osnl_net::http::{HttpOptions, Url};

use super::Native;

const REMEDY: &str = "name a proxy on this machine, or one that asks for no login";

const EXEMPT: &str =
    "write names, domains such as .example.com, or addresses; patterns, networks, and ranges are not read";

/// Says of each URL of an action, of the hosts that an attempt alone knows, and of the cloud of each enrichment, that
/// requests go through a proxy of the environment.
#[must_use]
pub fn proxied_targets(native: &Native, http: &HttpOptions) -> Vec<String> {
    let said = |section: &str, option: &str, url: &Url| {
        let proxy = http.proxies.shown_toward(url)?;
        let target = url.authority();
        Some(format!("[{section}] {option}: requests to {target} go through the proxy {proxy}"))
    };
    let of_actions = native.actions.iter().flat_map(|action| {
        let section = format!("action:{}", action.name);
        let conf = action.driver.conf();
        let proxies = http.proxies.shown().join(", ");
        let later = conf.later_hosts().filter(|_| !proxies.is_empty()).map(|hosts| {
            format!(
                "[{section}] url: requests to {hosts} go through {proxies}, unless no_proxy names the host"
            )
        });
        conf.urls().into_iter().filter_map(move |(option, url)| said(&section, option, url)).chain(later)
    });
    let of_clouds = native.enrichments.iter().filter_map(|enrichment| {
        said(&format!("enrich:{}", enrichment.name), "auth_url", &enrichment.cloud.auth_url)
    });
    of_actions.chain(of_clouds).collect()
}

/// Warns of each remote proxy with a login, because no proxy connection uses TLS, and of each entry of `no_proxy` that
/// exempts no target.
#[must_use]
pub fn proxy_warnings(http: &HttpOptions) -> Vec<String> {
    let logins = http.proxies.logins().into_iter();
    let logins =
        logins.map(|(variable, host)| SentLogin::new(variable, host, LoginProtection::Clear, REMEDY));
    let said = |login: SentLogin| {
        let (problem, remedy) = login.finding()?;
        Some(format!("{} of the environment: {problem}; {remedy}", login.option))
    };
    let vain = http.proxies.vain_exemptions().into_iter().map(|entry| {
        format!("no_proxy of the environment: {:?} exempts no target; {EXEMPT}", mask_text(entry))
    });
    logins.filter_map(said).chain(vain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load_texts};
    use super::*;

    #[test]
    fn issue_46_a_login_at_a_proxy_is_named() {
        let check = |proxy: &str, expected: &[&str]| {
            let variables =
                [("http_proxy", proxy), ("no_proxy", "a,10.0.0.0/8")].map(|(k, v)| (k.into(), v.into()));
            let mut said = proxy_warnings(&HttpOptions::from_environment(variables));
            let vain = said.pop().unwrap();
            assert!(
                vain.starts_with("no_proxy of the environment: \"10.0.0.0/8\" exempts no target"),
                "{vain}"
            );
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

    #[test]
    fn hosts_that_only_an_attempt_knows_are_named_too() {
        let text = "[listener:n]\ntransport_url = rabbit://u:p@h/\nexchange = neutron\npool = osnl\n\
                    [rule:r]\nactions = dns, hook\nevent_type = ^x\n\
                    [action:dns]\ndriver = http\nurl = catalog:dns/v2\nauth = keystone\n\
                    auth_url = https://keystone/v3\nusername = u\npassword = secret\nproject_name = p\n\
                    [action:hook]\ndriver = http\nurl = https://{{ payload.host }}/x\nallow_hosts = *.example.com\n";
        let native = load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()).unwrap().conf;
        let check = |no_proxy: &str, expected: &[&str]| {
            let variables = [("https_proxy", "http://u:secret@proxy:3128"), ("no_proxy", no_proxy)];
            let http = HttpOptions::from_environment(variables.map(|(k, v)| (k.into(), v.into())));
            assert_eq!(proxied_targets(&native, &http), expected);
        };
        let ends = "go through proxy:3128 (https_proxy), unless no_proxy names the host";
        let later = [
            format!("[action:dns] url: requests to the host from Keystone's catalogue {ends}"),
            format!("[action:hook] url: requests to hosts from events, if allow_hosts names them, {ends}"),
        ];
        let login = "[action:dns] auth_url: requests to keystone go through the proxy proxy:3128";
        check("", &[login, &later[0], &later[1]]);
        check("keystone", &[&later[0], &later[1]]);
        check("*", &[]);
    }
}
