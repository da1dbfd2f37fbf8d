use std::sync::Arc;

use osnl_config::template::Template;
use osnl_net::http::{HttpError, HttpOptions};
use osnl_net::openstack::{Cloud, CloudConf};
use serde_json::Value;

use super::cache::Limits;
use super::steps::brought_by;
use super::{Enricher, Kind};

#[derive(Clone, Debug)]
pub struct EnrichConf {
    pub name: Arc<str>,
    pub kind: Kind,
    pub id: Option<Template>,
    pub cloud: CloudConf,
    pub limits: Limits,
    pub default: Value,
    pub on_error: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Retry,
    Default,
}

osnl_config::words!(OnError: "retry" => OnError::Retry, "default" => OnError::Default);

impl EnrichConf {
    pub fn brings(&self, kind: Kind) -> bool {
        brought_by(kind).iter().any(|(by, _)| *by == self.kind)
    }

    #[must_use]
    pub fn enricher(&self, cloud: Cloud) -> Enricher {
        Enricher::new(Arc::new(cloud), self.limits)
    }

    pub fn cloud(&self, http: &HttpOptions) -> Result<Cloud, HttpError> {
        Cloud::new(self.cloud.clone(), http, self.limits.timeout)
    }
}
