use osnl_legacy::k2hr3::{HostParameters, NotificationEndpoint, NotificationResult, Unusable};
use pyo3::exceptions::PyValueError;
use pyo3::{PyRef, PyResult, Python, pyclass, pyfunction, pymethods};
use serde_json::Value;

use crate::calls::listener_end;
use crate::conf::Conf;
use crate::wait;

/// The caller of K2HR3 for one configuration.
#[pyclass(frozen)]
pub(crate) struct K2hr3Caller {
    pub(crate) endpoint: NotificationEndpoint,
}

#[pymethods]
impl K2hr3Caller {
    #[new]
    fn new(py: Python<'_>, conf: PyRef<'_, Conf>) -> PyResult<Self> {
        let conf = conf.loaded.conf.clone();
        let endpoint = py.detach(|| NotificationEndpoint::new(conf));
        Ok(Self { endpoint: endpoint.map_err(|error| PyValueError::new_err(error.to_string()))? })
    }

    /// Deletes the host with these addresses from K2HR3, and returns `handled` or `requeue`. A call of a listener holds an
    /// unreachable K2HR3 until the listener's end; any other has the attempts that the configuration allows.
    fn send(
        &self,
        py: Python<'_>,
        cuk: String,
        ips: Vec<String>,
        publisher_id: &str,
        event_type: &str,
    ) -> PyResult<String> {
        let host = HostParameters { cuk, addresses: ips };
        let endpoint = self.endpoint.clone();
        let listener = listener_end();
        let ended = wait::run(py, |shutdown| async move {
            let Some(end) = listener else {
                return tokio::select! {
                    result = endpoint.delete(host, publisher_id, event_type) => Some(result),
                    () = shutdown.drain.cancelled() => None,
                };
            };
            tokio::select! {
                biased;
                () = end.cancelled() => None,
                result = endpoint.delete_or_hold(host, publisher_id, event_type) => Some(result),
            }
        })?;
        match (ended.done, ended.raised) {
            (_, Some(raised)) => Err(raised),
            (result, None) => Ok(result.unwrap_or(NotificationResult::Requeue).to_string()),
        }
    }
}

/// Returns the host of a payload in Python's JSON, which may have `NaN` and single surrogates.
#[pyfunction]
pub(crate) fn parameters(payload: &str) -> PyResult<(String, Vec<String>)> {
    let wrong = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let payload: Value = osnl_model::parse_python_json_as(payload).map_err(|error| wrong(&error))?;
    let host = HostParameters::from_payload(&payload).map_err(|error| match error {
        Unusable::NothingToDo(why) | Unusable::Unreadable(why) => wrong(&why),
    })?;
    Ok((host.cuk, host.addresses))
}
