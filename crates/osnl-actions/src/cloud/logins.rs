use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use osnl_openstack::{Cloud, CloudConf};

use osnl_net::http::{HttpError, HttpOptions};

/// The clouds of one start, or of one reload, shared by all sections with the same login. A section
/// that survives a reload keeps its login, since the same files may contain other certificates.
#[derive(Clone, Debug, Default)]
pub struct Logins(Arc<Mutex<Vec<Cloud>>>);

impl Logins {
    pub fn cloud(&self, conf: &CloudConf, http: &HttpOptions, timeout: Duration) -> Result<Cloud, HttpError> {
        let mut clouds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |cloud: &&Cloud| cloud.conf() == conf && cloud.timeout() == timeout;
        if let Some(cloud) = clouds.iter().find(same) {
            return Ok(cloud.clone());
        }
        let cloud = Cloud::new(conf.clone(), http, timeout)?;
        clouds.push(cloud.clone());
        Ok(cloud)
    }
}
