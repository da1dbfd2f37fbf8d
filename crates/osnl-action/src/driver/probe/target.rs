use std::time::Duration;

use osnl_net::http::Url as ApiUrl;

use super::{Probe, silent};
use osnl_net::http::{HttpOptions, ProbeError, reach};

pub(crate) const NO_REQUEST: &str = "no request was sent";

/// Probes an HTTP target: TCP, a proxy's tunnel, TLS; no request is sent. `option` is the option
/// with its URL.
pub async fn target_probe(
    section: &str,
    option: &str,
    url: &ApiUrl,
    http: &HttpOptions,
    deadline: Duration,
) -> Probe {
    let probe = Probe::new(section, format!("target {}", url.authority()));
    match tokio::time::timeout(deadline, reach(http, url)).await {
        Err(_) => silent(probe, deadline),
        Ok(Err(ProbeError::Options(error))) => probe.failed(error.to_string(), None),
        Ok(Err(ProbeError::Connect(words))) => {
            let advice = format!("check that it is running and that {option} names its host and port");
            probe.failed(words, Some(&advice))
        }
        Ok(Err(ProbeError::Tls(refusal))) => probe.failed(refusal.reason, refusal.remedy.as_deref()),
        Ok(Ok(reached)) => {
            let tls = if reached.tls { "TLS" } else { "no TLS" };
            let found = match (&reached.proxy, reached.tls) {
                (None, _) => format!("accepts connections, {tls}; {NO_REQUEST}"),
                (Some(proxy), true) => {
                    format!("accepts connections by the proxy {proxy}, TLS; {NO_REQUEST}")
                }
                (Some(proxy), false) => {
                    format!(
                        "the proxy {proxy} accepts connections; whether it reaches the target shows with the first request"
                    )
                }
            };
            probe.fine(found).passive().until(reached.certificate_ends)
        }
    }
}
