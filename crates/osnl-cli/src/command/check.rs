//! `osnl check`: reads, checks and explains a configuration without contacting anybody, and looks into its journal
//! for what no action of it would deliver.

use osnl::config::Warning;
use osnl::native::{self, Native, Sources};

use super::sources::{self, Looked};
use crate::args::CheckArgs;
use crate::exit::Exit;

#[expect(clippy::print_stdout, reason = "what it is for")]
pub(crate) fn run(args: &CheckArgs) -> Exit {
    let (native, warnings) = match sources::look(args).and_then(meaning) {
        Ok(found) => found,
        Err(errors) => {
            sources::complain(&errors);
            return Exit::Config;
        }
    };
    let mut warnings = warnings;
    match native.orphans() {
        Ok(found) => warnings.extend(found.iter().map(ToString::to_string)),
        Err(error) => warnings.push(format!("[journal] connection: the file {error}")),
    }
    for warning in &warnings {
        println!("warning: {warning}");
    }
    print!("{}", native.explain());
    println!(
        "The configuration can be used{}.",
        match warnings.len() {
            0 => String::new(),
            1 => "; there is 1 warning".to_owned(),
            n => format!("; there are {n} warnings"),
        }
    );
    Exit::Done
}

/// A `k2hr3_osnl.conf` is explained as what it means in the native form.
pub(super) fn meaning(looked: Looked) -> Result<(Native, Vec<String>), String> {
    match looked {
        Looked::Native(loaded) => {
            let mut warnings = said(&loaded.warnings);
            warnings.extend(said(&loaded.never_sent()));
            Ok((loaded.conf, warnings))
        }
        Looked::K2hr3Osnl(loaded) => {
            let document = loaded.document().map_err(|error| error.to_string())?;
            let texts = [("k2hr3_osnl.conf".to_owned(), document.text(true))];
            let native =
                native::load_texts(&texts, &Sources::default()).map_err(|errors| errors.to_string())?;
            let mut warnings = said(&loaded.warnings);
            let differences = loaded.manual_differences().into_iter();
            warnings.extend(
                differences
                    .map(|what| format!("manual and program of k2hr3_osnl differ; here counts {what}")),
            );
            Ok((native.conf, warnings))
        }
    }
}

fn said(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}
