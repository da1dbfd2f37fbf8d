//! The request context of a notification, each entry under `_context_<key>`.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::versioned::Json;
use osnl_model::{is_secret_key, mask_secrets, to_python_json};

/// The key that is sent as null.
const TOKEN: &str = "auth_token";

/// The request, user, and project behind an event. Keys keep their order. Debug output masks secrets. A clone
/// shares the entries.
#[derive(Clone, Default)]
pub struct Context(Arc<Vec<(String, Box<RawValue>)>>);

impl Context {
    /// Returns an empty context, without any `_context_*`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or replaces its value.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn with<V: Serialize + ?Sized>(
        mut self,
        key: impl Into<String>,
        value: &V,
    ) -> Result<Self, serde_json::Error> {
        self.set(key.into(), to_python_json(value).and_then(RawValue::from_string)?);
        Ok(self)
    }

    /// Iterates over the entries in their order; keys have no `_context_`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), &**value))
    }

    /// Returns the entries as sent: oslo.context's `redacted_copy` has no token.
    #[must_use]
    pub fn redacted(&self) -> Vec<(String, Box<RawValue>)> {
        let mut entries = Vec::clone(&self.0);
        for (_, value) in entries.iter_mut().filter(|(key, _)| key == TOKEN) {
            *value = RawValue::NULL.to_owned();
        }
        entries
    }

    fn set(&mut self, key: String, value: Box<RawValue>) {
        let entries = Arc::make_mut(&mut self.0);
        match entries.iter_mut().find(|(name, _)| *name == key) {
            Some(entry) => entry.1 = value,
            None => entries.push((key, value)),
        }
    }
}

impl<K: Into<String>, V: Into<Json>> FromIterator<(K, V)> for Context {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut context = Self::new();
        for (key, value) in entries {
            // Every `Json` can be written.
            let written = to_python_json(&value.into()).and_then(RawValue::from_string);
            context.set(key.into(), written.unwrap_or_else(|_| RawValue::NULL.to_owned()));
        }
        context
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key: &str, value: &RawValue| {
            let whole = serde_json::from_str(value.get()).unwrap_or_default();
            if is_secret_key(key) { "***".to_owned() } else { mask_secrets(&whole).to_string() }
        };
        f.debug_map().entries(self.iter().map(|(key, value)| (key, shown(key, value)))).finish()
    }
}

/// oslo.context's `RequestContext`; [`Context::from`] makes the seventeen entries of its `redacted_copy`, in
/// the same order. That copy loses four fields, such as `read_only`, so they are not here.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are oslo.context's, by its names")]
pub struct RequestContext {
    pub user_id: Option<String>,
    pub project_id: Option<String>,
    pub system_scope: Option<String>,
    pub domain_id: Option<String>,
    pub user_domain_id: Option<String>,
    pub project_domain_id: Option<String>,
    pub is_admin: bool,
    pub request_id: Option<String>,
    pub global_request_id: Option<String>,
    pub roles: Vec<String>,
}

impl From<RequestContext> for Context {
    fn from(from: RequestContext) -> Self {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum ContextEntry<'a> {
            Text(Option<&'a str>),
            Flag(bool),
            List(&'a [String]),
        }
        use ContextEntry::{Flag, List, Text};
        let or_dash = |text: &Option<String>| text.clone().filter(|t| !t.is_empty()).unwrap_or("-".into());
        let identity = format!(
            "{} {} {} {} {}",
            or_dash(&from.user_id),
            or_dash(&from.project_id),
            or_dash(&from.domain_id),
            or_dash(&from.user_domain_id),
            or_dash(&from.project_domain_id)
        );
        let entries = [
            ("user", Text(from.user_id.as_deref())),
            ("project_id", Text(from.project_id.as_deref())),
            ("system_scope", Text(from.system_scope.as_deref())),
            ("project", Text(from.project_id.as_deref())),
            ("domain", Text(from.domain_id.as_deref())),
            ("user_domain", Text(from.user_domain_id.as_deref())),
            ("project_domain", Text(from.project_domain_id.as_deref())),
            ("is_admin", Flag(from.is_admin)),
            ("read_only", Flag(false)),
            ("show_deleted", Flag(false)),
            ("auth_token", Text(None)),
            ("request_id", Text(from.request_id.as_deref())),
            ("global_request_id", Text(from.global_request_id.as_deref())),
            ("resource_uuid", Text(None)),
            ("roles", List(&from.roles)),
            ("user_identity", Text(Some(&identity))),
            ("is_admin_project", Flag(true)),
        ];
        // Strings, booleans, and lists of strings can always be written.
        entries
            .iter()
            .fold(Self::new(), |context, (key, value)| context.clone().with(*key, value).unwrap_or(context))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_context_is_sent_as_oslo_s_redacted_copy() {
        let context = RequestContext {
            user_id: Some("u".to_owned()),
            request_id: Some("req-1".to_owned()),
            ..RequestContext::default()
        };
        let sent: Vec<_> =
            Context::from(context).redacted().iter().map(|(k, v)| format!("{k}={}", v.get())).collect();
        assert_eq!(
            sent.join(" "),
            "user=\"u\" project_id=null system_scope=null project=null domain=null user_domain=null \
             project_domain=null is_admin=false read_only=false show_deleted=false auth_token=null request_id=\"req-1\" \
             global_request_id=null resource_uuid=null roles=[] user_identity=\"u - - - -\" is_admin_project=true"
        );
    }

    #[test]
    fn a_token_neither_leaves_nor_shows() {
        let context = Context::new()
            .with("auth_token", "S3CRET")
            .and_then(|context| context.with("b", &json!({"password": "S3CRET"})))
            .and_then(|context| context.with("a", "é"))
            .and_then(|context| context.with("b", &1))
            .unwrap();
        let leaves: Vec<_> = context.redacted().iter().map(|(k, v)| format!("{k}={}", v.get())).collect();
        assert_eq!(leaves, ["auth_token=null", "b=1", r#"a="\u00e9""#]);
        let nested = Context::new().with("b", &json!({"password": "S3CRET"})).unwrap();
        assert!(!format!("{context:?} {nested:?}").contains("S3CRET"));
    }
}
