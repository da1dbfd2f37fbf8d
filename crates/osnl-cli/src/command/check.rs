//! `osnl check`: reads, checks and explains a configuration, and looks into its journal for what no action of it
//! would deliver.
//!
//! Without `--connect` nobody is contacted. With it, brokers, targets and files are tried as [`Native::probe`] says:
//! nothing is consumed, made or changed.
//!
//! | ends with | when |
//! | --- | --- |
//! | 0 | the configuration can be used, and what was tried is there |
//! | 69 | it can be used, and something is not there or lets nobody in |
//! | 78 | it cannot be used; nothing is tried |

mod report;

use osnl_config::Finding;
use osnl::action::http::HttpOptions;
use osnl::native::{self, Native, Sources, Verdict};

use self::report::Report;
use super::sources::{self, Looked, Refused};
use crate::app;
use crate::args::{CheckFormat, CheckRunArgs};
use crate::exit::Exit;
use crate::output;

/// Something to say about the configuration, with its parts where they are known.
pub(super) struct Said {
    pub(super) text: String,
    finding: Option<Finding>,
}

pub(crate) fn run(args: &CheckRunArgs) -> Exit {
    let (native, warnings) = match sources::look(&args.of).and_then(judged) {
        Ok(found) => found,
        Err(refused) => {
            match args.format {
                CheckFormat::Text => sources::complain(&refused.to_string()),
                CheckFormat::Json => {
                    output::print(&report::refused(&errors(refused)));
                }
            }
            return Exit::Config;
        }
    };
    let mut warnings = warnings;
    match native.orphans() {
        Ok(found) => warnings.extend(found.iter().map(Said::plain)),
        Err(error) => warnings.push(Said::plain(format!("[journal] connection: the file {error}"))),
    }
    let mut report = Report { explanation: native.explain(), warnings, probes: None };
    if args.connect {
        let http = HttpOptions::from_environment(std::env::vars_os());
        match app::block_on(native.probe(&http, args.timeout)) {
            Ok(probes) => report.probes = Some(probes),
            Err(error) => {
                sources::complain(&format!("the connections cannot be tried: {error}"));
                return Exit::Failed;
            }
        }
    }
    let printed = match args.format {
        CheckFormat::Text => output::print_tinted(&report.text(), report::tint),
        CheckFormat::Json => output::print(&report.json()),
    };
    let failed = report.probes.iter().flatten().any(|probe| probe.verdict == Verdict::Failed);
    if failed { Exit::Unavailable } else { printed }
}

/// With what [`Loaded::never_sent`](native::Loaded::never_sent) finds: of interest to who checks a configuration only.
fn judged(looked: Looked) -> Result<(Native, Vec<Said>), Refused> {
    let looked = match looked {
        Looked::Native(mut loaded) => {
            loaded.warnings = loaded.all_warnings();
            Looked::Native(loaded)
        }
        legacy @ (Looked::K2hr3Osnl(_) | Looked::OssWatcher(_)) => legacy,
    };
    meaning(looked)
}

/// A `k2hr3_osnl.conf` is explained as what it means in the native form.
pub(super) fn meaning(looked: Looked) -> Result<(Native, Vec<Said>), Refused> {
    match looked {
        Looked::Native(loaded) => {
            Ok((loaded.conf, loaded.warnings.into_iter().map(|warning| Said::of(warning.0)).collect()))
        }
        Looked::OssWatcher(loaded) => {
            let warnings = loaded.warnings.iter().map(|warning| Said::of(warning.0.clone())).collect();
            Ok((loaded.native.conf, warnings))
        }
        Looked::K2hr3Osnl(loaded) => {
            let document = loaded.document().map_err(|error| Refused::Other(error.to_string()))?;
            let texts = [("k2hr3_osnl.conf".to_owned(), document.text(true))];
            let native = native::load_texts(&texts, &Sources::default()).map_err(Refused::Native)?;
            let mut warnings: Vec<Said> =
                loaded.warnings.iter().map(|warning| Said::of(warning.0.clone())).collect();
            warnings.extend(loaded.manual_differences().into_iter().map(|what| Said {
                text: format!("manual and program of k2hr3_osnl differ; here counts {what}"),
                finding: None,
            }));
            Ok((native.conf, warnings))
        }
    }
}

fn errors(refused: Refused) -> Vec<Said> {
    match refused {
        Refused::Native(errors) => errors.0.into_iter().map(|error| Said::of(error.0)).collect(),
        Refused::Other(words) => {
            words.lines().map(|line| Said { text: line.to_owned(), finding: None }).collect()
        }
    }
}

impl Said {
    fn plain(text: impl ToString) -> Self {
        Self { text: text.to_string(), finding: None }
    }

    fn of(finding: Finding) -> Self {
        Self { text: finding.to_string(), finding: Some(finding) }
    }
}
