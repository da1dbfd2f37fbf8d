//! `[enrich:NAME]`, checked.

use std::sync::Arc;

use osnl_http::{HttpError, HttpOptions};
use osnl_openstack::{Cloud, CloudConf};
use osnl_template::Template;
use serde_json::Value;

use super::cache::Limits;
use super::steps::brought_by;
use super::{Enricher, Kind};

/// See `docs/enrichment.md`. Its Debug form shows no secret.
#[derive(Clone, Debug)]
pub struct EnrichConf {
    /// The section's name, under which templates have what was found.
    pub name: Arc<str>,
    /// The kind of the object.
    pub kind: Kind,
    /// Its id, if that is not the one that the event is about.
    pub id: Option<Template>,
    /// The cloud, and the login there.
    pub cloud: CloudConf,
    /// The limits of questions, and the time for which an answer counts.
    pub limits: Limits,
    /// The value if no source has an answer.
    pub default: Value,
    /// The reaction if the API cannot be asked.
    pub on_error: OnError,
}

/// `on_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The delivery waits, as for a target that is down.
    Retry,
    /// The object counts as gone.
    Default,
}

impl EnrichConf {
    /// Whether what it finds has the id of an object of this kind.
    pub fn brings(&self, kind: Kind) -> bool {
        brought_by(kind).iter().any(|(by, _)| *by == self.kind)
    }

    /// Builds the enricher that asks.
    #[must_use]
    pub fn enricher(&self, cloud: Cloud) -> Enricher {
        Enricher::new(Arc::new(cloud), self.limits)
    }

    /// The cloud that is asked.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn cloud(&self, http: &HttpOptions) -> Result<Cloud, HttpError> {
        Cloud::new(self.cloud.clone(), http, self.limits.timeout)
    }
}
