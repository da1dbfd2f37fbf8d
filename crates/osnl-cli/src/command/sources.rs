use std::path::{Path, PathBuf};

use osnl::native::{self, Drivers, Sources};
use osnl_config::{ConfigErrors, Warning, in_words};
use osnl_legacy::k2hr3::{Conf, HiddenInputs};
use osnl_legacy::oss;

use crate::clean;
use crate::flags::{CheckArgs, SourceArgs};
use crate::output;
use crate::terminal::{Tone, on_stderr};

/// The default file; the folder beside it is read too if present.
pub(super) const DEFAULT_PATH: &str = "/etc/osnl/osnl.conf";
const DEFAULT_FOLDER: &str = "/etc/osnl/conf.d";

pub(super) enum AnyConf {
    Native(Box<native::LoadedConf>),
    K2hr3Osnl(Box<osnl_legacy::k2hr3::LoadedConf>),
    OssWatcher(Box<oss::conf::LoadedConf>),
}

pub(super) fn drivers() -> Drivers {
    oss::drivers()
}

pub(super) fn has_default() -> bool {
    Path::new(DEFAULT_PATH).exists()
}

pub(super) fn from_args(args: &SourceArgs) -> Sources {
    let (mut files, mut folders) = (args.config_file.clone(), args.config_dir.clone());
    if files.is_empty() && folders.is_empty() {
        files.push(PathBuf::from(DEFAULT_PATH));
        folders.extend(Some(PathBuf::from(DEFAULT_FOLDER)).filter(|folder| folder.is_dir()));
    }
    let environment = std::env::vars_os().collect();
    Sources { files, folders, drivers: drivers(), environment, flags: Vec::new() }
}

#[derive(Debug)]
pub(super) enum ConfRefusal {
    Native(ConfigErrors),
    Other(String),
}

impl std::fmt::Display for ConfRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Native(errors) => errors.fmt(f),
            Self::Other(words) => words.fmt(f),
        }
    }
}

pub(super) fn load(args: &CheckArgs) -> Result<AnyConf, ConfRefusal> {
    if let Some(path) = &args.oss_watcher {
        let environment = std::env::vars_os().collect();
        let loaded = oss::conf::Conf::load(&[oss::conf::ConfPlace::File(path.clone())], &environment);
        return loaded.map(|loaded| AnyConf::OssWatcher(Box::new(loaded))).map_err(ConfRefusal::Native);
    }
    match &args.k2hr3_osnl {
        Some(path) => {
            legacy(path).map(|loaded| AnyConf::K2hr3Osnl(Box::new(loaded))).map_err(ConfRefusal::Other)
        }
        None => native::load(&from_args(&args.sources))
            .map(|loaded| AnyConf::Native(Box::new(loaded)))
            .map_err(ConfRefusal::Native),
    }
}

fn legacy(path: &Path) -> Result<osnl_legacy::k2hr3::LoadedConf, String> {
    let home = std::env::home_dir();
    let inputs = HiddenInputs::new("k2hr3-osnl", home.as_deref(), std::env::vars_os().collect());
    Conf::load(path, &inputs).map_err(|error| error.to_string())
}

/// Prints warnings to stderr, so that stdout has only the configuration.
pub(super) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        let (kind, warning) = (on_stderr(Tone::Warn, "warning:"), warning.to_string());
        output::print_to_stderr(format_args!("osnl: {kind} {}", clean::text(&warning)));
    }
}

pub(super) fn complain(errors: &str) {
    for line in output::for_locale(errors).lines() {
        if line.starts_with(' ') {
            output::print_to_stderr(line);
        } else {
            let (kind, error) = (on_stderr(Tone::Bad, "error:"), in_words(line));
            output::print_to_stderr(format_args!("osnl: {kind} {}", clean::text(&error)));
        }
    }
}
