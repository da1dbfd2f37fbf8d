use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use osnl_model::{Pattern, TransportUrl};
use serde_json::{Value as Json, json};

use super::super::*;

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/k2hr3/conf")
}

pub(super) fn accepted() -> Vec<String> {
    let files = osnl_config::files_of(&folder()).unwrap();
    let names = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| refused(name).is_none()).collect()
}

fn ours(file: &str) -> Vec<(&'static str, &'static str, Json)> {
    match file {
        "08-empty.conf" => vec![("k2hr3", "api_url", json!("https://localhost/v1/role"))],
        "06-all-options-documented.conf" => {
            vec![("DEFAULT", "libs_debug_level", json!("warn")), ("k2hr3", "max_retries", json!(3))]
        }
        "10-bad-debug-level.conf" => vec![("DEFAULT", "debug_level", json!("warn"))],
        "09-unknown-keys.conf" => vec![("k2hr3", "max_retries", json!(1))],
        "15-syntax-corners.conf" => vec![("k2hr3", "max_retries", json!(0))],
        _ => vec![],
    }
}

#[test]
fn recorded_files_mean_what_they_meant() {
    let expected = fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: Json = serde_json::from_str(&expected).unwrap();
    let files = expected["files"].as_object().unwrap();
    let found = fs::read_dir(folder()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "conf")
    });
    assert_eq!(found.count(), files.len());
    for (file, recorded) in files {
        let loaded = Conf::load(&folder().join(file), &HiddenInputs::none());
        if let Some(lines) = refused(file) {
            let error = loaded.err().unwrap_or_else(|| panic!("{file} must be refused"));
            let found: Vec<_> = error.errors().iter().map(|error| error.0.line.unwrap()).collect();
            assert_eq!(found, lines, "{file}: {error}");
            continue;
        }
        let conf = loaded.unwrap_or_else(|error| panic!("{file}: {error}")).conf;
        let mut values = recorded["library"]["values"].clone();
        for (group, option, value) in ours(file) {
            assert_ne!(values[group][option], value, "{file}: {option} is no difference");
            values[group][option] = value;
        }
        let url = values["oslo_messaging_notifications"]["transport_url"].take();
        let url = TransportUrl::parse(url.as_str().unwrap()).unwrap();
        assert_eq!(format!("{:?}", conf.oslo_messaging_notifications.transport_url), format!("{url:?}"));
        assert_eq!(as_recorded(&conf), values, "{file}");
    }
}

#[test]
fn the_installed_sample_means_what_the_manuals_means() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let loaded = |file: &str| Conf::load(&root.join(file), &HiddenInputs::none()).unwrap();
    let sample = loaded("crates/osnl-python/k2hr3_osnl.data/data/etc/k2hr3/k2hr3_osnl.conf.sample");
    let manual = loaded("fixtures/k2hr3/manual/k2hr3_osnl.conf");
    let url = |of: &LoadedConf| of.conf.oslo_messaging_notifications.transport_url.to_string_with_secrets();
    assert_eq!(as_recorded(&sample.conf), as_recorded(&manual.conf));
    assert_eq!((url(&sample), url(&manual).as_str()), (url(&manual), "rabbit://user:pass@127.0.0.1:5672/"));
}

fn refused(file: &str) -> Option<&'static [u32]> {
    match file {
        "04-kafka-requeue-default.conf" => Some(&[3]),
        "11-bad-types.conf" => Some(&[3, 7, 8]),
        "12-bad-no-section.conf" => Some(&[1, 3]),
        "13-bad-api-url.conf" => Some(&[6]),
        "14-bad-transport.conf" => Some(&[2]),
        _ => None,
    }
}

fn as_recorded(conf: &Conf) -> Json {
    let on = &conf.oslo_messaging_notifications;
    let dict = |pairs: &[(String, Pattern)]| match pairs {
        [] => Json::Null,
        pairs => json!(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<BTreeMap<_, _>>()),
    };
    json!({
        "DEFAULT": {
            "debug_level": conf.log.debug_level.as_str(),
            "log_file": match &conf.log.log_file {
                LogFile::Stderr => Path::new("sys.stderr"),
                LogFile::Path(path) => path,
            },
            "libs_debug_level": conf.log.libs_debug_level.as_str(),
        },
        "oslo_messaging_notifications": {
            "event_type": on.event_type.as_str(),
            "publisher_id": on.publisher_id.as_str(),
            "context": dict(&on.context),
            "metadata": dict(&on.metadata),
            "payload": dict(&on.payload),
            "transport_url": null,
            "topic": on.topic,
            "exchange": on.exchange,
            "executor": match on.executor {
                Executor::Threading => "threading",
                Executor::Eventlet => "eventlet",
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
}

#[test]
fn warnings_of_the_recorded_files() {
    for file in accepted() {
        let lines: &[u32] = match &*file {
            "03-nova-legacy.conf" => &[10],
            "08-empty.conf" => &[0],
            "09-unknown-keys.conf" => &[3, 4, 5, 6, 10, 12, 19, 21],
            "15-syntax-corners.conf" => &[8, 15],
            _ => &[],
        };
        let loaded = Conf::from_text(&file, &fs::read_to_string(folder().join(&file)).unwrap()).unwrap();
        let found: Vec<u32> = loaded.warnings.iter().map(|said| said.0.line.unwrap_or_default()).collect();
        assert_eq!(found, lines, "{file}: {:?}", loaded.warnings);
    }
}
