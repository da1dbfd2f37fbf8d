//! Secrets that are written in headers, parameters and the URL instead of as `secret.KEY`.
//!
//! The name decides: `Authorization`, `X-Api-Key`, `token`, `sig`. The value, without the scheme
//! (`Bearer`) and the template's expressions, counts as a secret. It is masked for people, searched
//! for in replies, and refused if an event decides the receiver.

use osnl_config::template::Template;
use osnl_config::written_secrets;
use osnl_model::is_secret_key;
use osnl_net::http::header::HeaderName;

use super::body::RequestBody;
use super::target::UrlTarget;

/// The secrets that options hold in clear.
#[derive(Clone, Default)]
pub(super) struct Literals {
    /// The secrets themselves.
    pub(super) words: Vec<String>,
    /// The first option with a secret, for the refusal that names it.
    pub(super) first: Option<String>,
    /// Whether the body may hold a secret.
    pub(super) in_body: bool,
}

impl Literals {
    pub(super) fn from_parts(
        target: &UrlTarget,
        query: &[(String, Template)],
        headers: &[(HeaderName, Template)],
        body: &RequestBody,
    ) -> Self {
        let mut found = Self::default();
        found.add("url", written_secrets::parameters(target.source()));
        for (name, template) in headers {
            found.check("header", name.as_str(), template);
        }
        for (name, template) in query {
            found.check("query", name, template);
        }
        let names_secret = |template: &Template| template.roots().any(|root| root == "secret");
        match body {
            RequestBody::Usual | RequestBody::Nothing | RequestBody::Event => {}
            RequestBody::Text(_, template) => {
                found.in_body = names_secret(template) || written_secrets::has_secret(template.source());
            }
            RequestBody::Form(fields) => {
                let before = found.words.len();
                for (name, template) in fields {
                    found.check("field", name, template);
                }
                let secret = fields.iter().any(|(_, template)| names_secret(template));
                found.in_body = secret || found.words.len() > before;
            }
        }
        found
    }

    fn check(&mut self, kind: &str, name: &str, template: &Template) {
        if is_secret_key(name) {
            self.add(&format!("{kind}.{name}"), written_secrets::words(template.source()));
        }
    }

    fn add(&mut self, option: &str, words: Vec<String>) {
        if !words.is_empty() {
            self.first.get_or_insert_with(|| option.to_owned());
        }
        self.words.extend(words);
    }
}

impl std::fmt::Debug for Literals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Literals").field("first", &self.first).finish_non_exhaustive()
    }
}
