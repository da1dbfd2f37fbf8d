//! `osnl config show`: a configuration in the native form, each value with where it came from.
//!
//! The output is a valid file. Passwords are `***` in it unless asked for; run like that it logs in with `***`
//! and warns of it.

use super::sources::{self, Looked};
use crate::args::ConfigShowArgs;
use crate::exit::Exit;

#[expect(clippy::print_stdout, reason = "what it is for")]
pub(crate) fn show(args: &ConfigShowArgs) -> Exit {
    let document = sources::look(&args.of).and_then(|looked| match looked {
        Looked::Native(loaded) => {
            sources::warn(&loaded.warnings);
            let document = loaded.document();
            match document.reads_back() {
                true => Ok(document),
                false => Err("a value cannot be written into a file as it is; \
                              is there one with line ends in the environment?"
                    .to_owned()),
            }
        }
        Looked::K2hr3Osnl(loaded) => {
            sources::warn(&loaded.warnings);
            loaded.document().map_err(|error| error.to_string())
        }
    });
    match document {
        Ok(document) => {
            print!("{}", document.text(args.show_secrets));
            Exit::Done
        }
        Err(errors) => {
            sources::complain(&errors);
            Exit::Config
        }
    }
}
