//! The members of a role, read from K2HR3: the instances whose hosts it holds.

use std::path::PathBuf;
use std::time::Duration;

use osnl_model::ForeignJson;
use osnl_net::http::header::HeaderName;
use osnl_net::http::{Client, HttpOptions, Method, Request, StatusCode, Url};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;

use super::{K2hr3RegisterConf, secrets, token};
use crate::k2hr3::{K2hr3Conf, shown};

const PATIENCE: Duration = Duration::from_secs(60);
/// A member has about 80 bytes.
const REPLY_LIMIT: usize = 64 << 20;
const EXTRA: &str = "openstack-auto-v1";

/// The instances that are members of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleMembers {
    /// The ids of instances, one for each address.
    pub instances: Vec<String>,
    /// The number of other hosts, which no deletion of an instance removes: registered by name, or without `extra`.
    pub others: usize,
}

impl K2hr3RegisterConf {
    /// Returns the access to a role of the K2HR3 that an action has.
    #[must_use]
    pub fn for_role(of: &K2hr3Conf, role: String, token_file: PathBuf) -> Self {
        Self { api_url: of.api_url.clone(), role, token_file, tls: of.tls.clone() }
    }

    #[must_use]
    pub fn has_target_of(&self, other: &K2hr3Conf) -> bool {
        self.api_url == other.api_url
    }

    /// Reads the members of the role.
    ///
    /// # Errors
    /// Fails with the reason if the token file or K2HR3's answer cannot be read.
    pub async fn members(&self, http: &HttpOptions) -> Result<RoleMembers, String> {
        let base = self.api_url.to_string();
        let role = utf8_percent_encode(&self.role, NON_ALPHANUMERIC);
        let at = format!("{}/{role}?expand=false", base.trim_end_matches('/'));
        let problem = |why: String| format!("role {} of K2HR3 at {}: {why}", self.role, shown(&self.api_url));
        let client =
            Client::to(&self.tls.http(http), &self.api_url).map_err(|error| problem(error.to_string()))?;
        let url = Url::parse(&at).map_err(|error| problem(error.to_string()))?;
        let token = token(&self.token_file)?;
        let secrets = secrets(&token);
        let mut request = Request::new(Method::GET, url);
        request.headers.insert(HeaderName::from_static("x-auth-token"), token);
        request.reply_limit = REPLY_LIMIT;
        let answer = timeout(PATIENCE, client.send(request)).await;
        let answer = answer.map_err(|_| problem(format!("no answer in {} s", PATIENCE.as_secs())))?;
        let answer = answer.map_err(|failure| problem(failure.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(problem(answer.failure(&secrets).reason));
        }
        if !answer.is_whole() {
            return Err(problem("the answer is too long".to_owned()));
        }
        let ForeignJson(body) =
            serde_json::from_slice(&answer.body).map_err(|_| problem("the answer is not JSON".to_owned()))?;
        members(&body).ok_or_else(|| problem("the answer has no role.hosts".to_owned()))
    }
}

fn members(body: &Value) -> Option<RoleMembers> {
    let hosts = body.get("role")?.get("hosts")?;
    let mut found = RoleMembers::default();
    for host in hosts.get("ips").and_then(Value::as_array).into_iter().flatten() {
        let fields: Vec<&str> = host.as_str().unwrap_or_default().split_whitespace().collect();
        match fields[..] {
            [_, _, instance, EXTRA, ..] => found.instances.push(instance.to_owned()),
            _ => found.others += 1,
        }
    }
    found.others += hosts.get("hostnames").and_then(Value::as_array).map_or(0, Vec::len);
    Some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_the_instances_that_a_deletion_would_remove() {
        const ID: &str = "5ac1d5a5-1cbc-4f5d-8f4f-6bd3a7c6a001";
        let ips = [
            format!("10.0.0.1 * {ID} {EXTRA}"),
            format!("10.0.0.2 0 {ID} {EXTRA} tag"),
            format!("10.0.0.3 * {ID}"),
            "10.0.0.4 *".to_owned(),
        ];
        let body = json!({"result": true, "role": {"hosts": {"hostnames": ["a.example"], "ips": ips}}});
        assert_eq!(members(&body), Some(RoleMembers { instances: vec![ID.to_owned(); 2], others: 3 }));
        assert_eq!(members(&json!({"result": true})), None);
    }
}
