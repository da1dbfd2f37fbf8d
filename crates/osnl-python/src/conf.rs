use std::path::PathBuf;

use osnl_legacy::k2hr3::{HiddenInputs, Level, LoadedConf, LogFile};
use osnl_model::Pattern;
use pyo3::exceptions::PyValueError;
use pyo3::{PyResult, Python, pyclass, pymethods};
use serde_json::{Map, Value, json};

/// The content of a file, with the hidden inputs of its program.
#[pyclass(frozen)]
pub(crate) struct Conf {
    pub(crate) loaded: LoadedConf,
}

#[pymethods]
impl Conf {
    /// Reads the file, as a program of that name does.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, program: &str) -> PyResult<Self> {
        let inputs =
            HiddenInputs::new(program, std::env::home_dir().as_deref(), std::env::vars_os().collect());
        let loaded = py.detach(|| osnl_legacy::k2hr3::Conf::load(&path, &inputs));
        Ok(Self { loaded: loaded.map_err(|error| PyValueError::new_err(error.to_string()))? })
    }

    /// Returns the values by group as JSON, passwords included, as Python programs read them.
    fn values(&self) -> String {
        let conf = &self.loaded.conf;
        let on = &conf.oslo_messaging_notifications;
        json!({
            "DEFAULT": {
                "debug_level": level(conf.log.debug_level),
                "libs_debug_level": level(conf.log.libs_debug_level),
                "log_file": match &conf.log.log_file {
                    LogFile::Stderr => "sys.stderr".to_owned(),
                    LogFile::Path(path) => path.display().to_string(),
                },
            },
            "oslo_messaging_notifications": {
                "event_type": on.event_type.to_string(),
                "publisher_id": on.publisher_id.to_string(),
                "context": patterns(&on.context),
                "metadata": patterns(&on.metadata),
                "payload": patterns(&on.payload),
                "transport_url": on.transport_url.to_string_with_secrets(),
                "topic": on.topic,
                "exchange": on.exchange,
                "executor": match on.executor {
                    osnl_legacy::k2hr3::Executor::Threading => "threading",
                    osnl_legacy::k2hr3::Executor::Eventlet => "eventlet",
                },
                "pool": on.pool,
                "allow_requeue": on.allow_requeue,
            },
            "k2hr3": {
                "api_url": conf.k2hr3.api_url.to_string(),
                "timeout_seconds": conf.k2hr3.timeout_seconds,
                "max_retries": conf.k2hr3.max_retries,
                "retry_interval_seconds": conf.k2hr3.retry_interval_seconds,
                "allow_self_signed_cert": conf.k2hr3.allow_self_signed_cert,
                "requeue_on_error": conf.k2hr3.requeue_on_error,
            },
        })
        .to_string()
    }

    fn warnings(&self) -> Vec<String> {
        self.loaded.warnings.iter().map(ToString::to_string).collect()
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
        Level::Notset => "notset",
    }
}

/// Returns None without keys, as in k2hr3_osnl.
fn patterns(patterns: &[(String, Pattern)]) -> Value {
    if patterns.is_empty() {
        return Value::Null;
    }
    let patterns = patterns.iter().map(|(key, pattern)| (key.clone(), Value::String(pattern.to_string())));
    Value::Object(patterns.collect::<Map<_, _>>())
}
