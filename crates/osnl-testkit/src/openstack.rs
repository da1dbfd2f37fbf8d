//! Keystone, nova, neutron, glance and ironic on one port of loopback, for requests about one object.
//!
//! Keystone's answers and glance's image are recorded (`fixtures/openstack`), with this port in the catalogue's URLs.
//! nova, neutron and ironic answer in the documented form of their API references. A test can make each part slow,
//! failing or unreachable.

mod objects;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::{Reply, Sink, SinkRequest, fixture};

pub const USER: &str = "osswatch";
pub const PASSWORD: &str = "s3cret-password";
pub const CREDENTIAL: &str = "a906a37caf67443a9cd229f5661b6f71";
pub const CREDENTIAL_SECRET: &str = "s3cret-credential";
pub const TOKEN: &str = "gAAAAAB-token-";

#[derive(Debug)]
pub struct Openstack {
    sink: Sink,
    state: Arc<Mutex<StandInState>>,
}

#[derive(Debug)]
struct StandInState {
    base: String,
    objects: HashMap<String, Value>,
    faults: Vec<(String, Reply)>,
    issued: usize,
    good: HashSet<String>,
    lifetime: u64,
    without: Option<String>,
    recorded: HashMap<String, Value>,
    listed: Vec<[String; 4]>,
    roles: Option<Vec<String>>,
}

impl Openstack {
    #[must_use]
    pub fn start() -> Self {
        let sink = Sink::start();
        let exchanges = fixture::json("openstack/keystone.json")["exchanges"].as_array().unwrap().clone();
        let recorded = exchanges.into_iter().map(|e| (e["label"].as_str().unwrap().to_owned(), e)).collect();
        let state = StandInState {
            base: sink.url(""),
            objects: HashMap::new(),
            faults: Vec::new(),
            issued: 0,
            good: HashSet::new(),
            lifetime: 3600,
            without: None,
            recorded,
            listed: Vec::new(),
            roles: None,
        };
        let state = Arc::new(Mutex::new(state));
        let answering = state.clone();
        sink.reply_when(move |request| Some(answering.lock().unwrap().reply(request)));
        let openstack = Self { sink, state };
        for (path, body) in objects::all() {
            openstack.put(&path, body);
        }
        openstack
    }

    #[must_use]
    pub fn auth_url(&self) -> String {
        self.sink.url("/v3")
    }

    #[must_use]
    pub fn id(kind: &str) -> &'static str {
        objects::id(kind)
    }

    pub fn put(&self, path: &str, body: Value) {
        self.state.lock().unwrap().objects.insert(path.to_owned(), body);
    }

    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        self.state.lock().unwrap().objects[path].clone()
    }

    pub fn list(&self, service: &str, interface: &str, region: &str, url: &str) {
        let endpoint = [service, interface, region, url].map(str::to_owned);
        self.state.lock().unwrap().listed.push(endpoint);
    }

    /// Gives the user these roles. Its tokens end, as Keystone revokes them with a role.
    pub fn roles(&self, roles: &[&str]) {
        let mut state = self.state.lock().unwrap();
        state.roles = Some(roles.iter().map(|role| (*role).to_owned()).collect());
        state.good.clear();
    }

    pub fn unlist(&self) {
        self.state.lock().unwrap().listed.clear();
    }

    #[must_use]
    pub fn believes(&self, token: &str) -> bool {
        self.state.lock().unwrap().good.contains(token)
    }

    pub fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    pub fn fail(&self, path: &str, reply: Reply) {
        self.state.lock().unwrap().faults.push((path.to_owned(), reply));
    }

    pub fn heal(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    pub fn revoke(&self) {
        self.state.lock().unwrap().good.clear();
    }

    pub fn lifetime(&self, seconds: u64) {
        self.state.lock().unwrap().lifetime = seconds;
    }

    pub fn without(&self, service: &str) {
        self.state.lock().unwrap().without = Some(service.to_owned());
    }

    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.sink.requests().iter().filter(|request| request.target.starts_with(path)).count()
    }

    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }
}

impl StandInState {
    fn reply(&mut self, request: &SinkRequest) -> Reply {
        let fault = self.faults.iter().rev().find(|(path, _)| request.target.starts_with(path.as_str()));
        match fault.map(|(_, reply)| reply.clone()) {
            Some(Reply::After(time, then)) if *then == Reply::Status(200) => {
                Reply::After(time, Box::new(self.well(request)))
            }
            Some(reply) => reply,
            None => self.well(request),
        }
    }

    fn well(&mut self, request: &SinkRequest) -> Reply {
        if (request.method.as_str(), request.target.as_str()) == ("POST", "/v3/auth/tokens") {
            return self.login(&request.body);
        }
        if !request.header("x-auth-token").is_some_and(|token| self.good.contains(token)) {
            return self.recorded("expired_or_bad_token");
        }
        if request.target == "/network/v2.0/quotas" {
            return self.quotas();
        }
        if let Some(list) = self.listed_at(&request.target) {
            return answer(200, &[], &list);
        }
        match self.objects.get(&request.target).filter(|body| self.shows(body)) {
            Some(body) => answer(200, &[], body),
            None => objects::missing(&request.target),
        }
    }

    /// Whether the user sees an object: one of its own project, or any with the role admin.
    fn shows(&self, body: &Value) -> bool {
        let of_project =
            body.as_object().and_then(|body| body.values().find_map(|of| of["tenant_id"].as_str()));
        self.is_admin() || of_project.is_none_or(|project| project == objects::id("project"))
    }

    fn is_admin(&self) -> bool {
        self.roles.iter().flatten().any(|role| role == "admin")
    }

    /// Neutron lists the quotas of all projects only to a user that its policy calls an admin (`context_is_admin`).
    fn quotas(&self) -> Reply {
        if self.is_admin() {
            return answer(200, &[], &json!({"quotas": []}));
        }
        let message = "User does not have admin privileges: Only admin can view or configure quota.";
        answer(
            403,
            &[],
            &json!({"NeutronError": {"type": "AdminRequired", "message": message, "detail": ""}}),
        )
    }

    fn listed_at(&self, target: &str) -> Option<Value> {
        let (path, query) = target.split_once('?').filter(|(_, query)| query.contains("limit="))?;
        if query.contains("all_tenants") && !self.is_admin() {
            return None;
        }
        let below = format!("{path}/");
        let is_known = self.objects.keys().any(|object| object.starts_with(&below));
        is_known.then(|| json!({path.rsplit('/').next().unwrap_or_default(): []}))
    }

    fn login(&mut self, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let identity = &body["auth"]["identity"];
        let label = match identity["methods"][0].as_str() {
            Some("password") => {
                let user = &identity["password"]["user"];
                let project = &body["auth"]["scope"]["project"]["name"];
                match (user["name"].as_str(), user["password"].as_str(), project.as_str()) {
                    (Some(USER), Some(PASSWORD), Some("oss")) => "osswatch_password",
                    (Some(USER), Some(PASSWORD), Some(_)) => "password_no_such_project",
                    (Some(USER), Some(PASSWORD), None) => "password_unscoped",
                    (_, _, _) => "password_wrong",
                }
            }
            Some("application_credential") => {
                let credential = &identity["application_credential"];
                let good = credential["secret"] == CREDENTIAL_SECRET
                    && (credential["id"] == CREDENTIAL || credential["name"] == "watcher");
                match (good, body["auth"].get("scope").is_some()) {
                    (true, true) => "appcred_auth_with_scope_refused",
                    (true, false) => "appcred_auth_by_id",
                    (false, _) => "appcred_bad_secret",
                }
            }
            Some("token") => {
                let token = identity["token"]["id"].as_str().unwrap_or_default();
                if self.good.contains(token) { "token_to_token" } else { "expired_or_bad_token" }
            }
            Some(_) | None => "password_wrong",
        };
        self.recorded(label)
    }

    fn recorded(&mut self, label: &str) -> Reply {
        let recorded = self.recorded[label].clone();
        let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
        let mut body = recorded["response"].clone();
        let mut headers = Vec::new();
        if status == 201 {
            self.issued += 1;
            let token = format!("{TOKEN}{}", self.issued);
            headers.push(("X-Subject-Token", token.clone()));
            self.good.insert(token);
            let minutes = self.lifetime / 60;
            let time = |hour: u64, minute: u64, second: u64| {
                format!("2026-11-20T{hour:02}:{minute:02}:{second:02}.000000Z")
            };
            body["token"]["issued_at"] = time(5, 0, 0).into();
            body["token"]["expires_at"] = time(5 + minutes / 60, minutes % 60, self.lifetime % 60).into();
            if let Some(roles) = &self.roles {
                body["token"]["roles"] = roles.iter().map(|role| json!({"id": role, "name": role})).collect();
            }
            if let Some(catalog) = body["token"]["catalog"].as_array_mut() {
                for service in catalog.iter_mut() {
                    let path = objects::service_path(service["type"].as_str().unwrap());
                    for endpoint in service["endpoints"].as_array_mut().unwrap() {
                        endpoint["url"] = format!("{}{path}", self.base).into();
                    }
                }
                let mut ironic = catalog[0].clone();
                ironic["type"] = "baremetal".into();
                for endpoint in ironic["endpoints"].as_array_mut().unwrap() {
                    endpoint["url"] = format!("{}/baremetal", self.base).into();
                }
                catalog.push(ironic);
                for [service, interface, region, url] in &self.listed {
                    let endpoint =
                        json!({"interface": interface, "region": region, "region_id": region, "url": url});
                    catalog.push(json!({"type": service, "name": service, "endpoints": [endpoint]}));
                }
                catalog.retain(|service| service["type"].as_str() != self.without.as_deref());
            }
        }
        for name in ["WWW-Authenticate"] {
            if let Some(value) = recorded["response_headers"][name].as_str() {
                headers.push((name, value.to_owned()));
            }
        }
        answer(status, &headers, &body)
    }
}

fn answer(status: u16, headers: &[(&str, String)], body: &Value) -> Reply {
    let mut all = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Reply::StatusWith { status, headers: all, body: json!(body).to_string().into_bytes() }
}
