//! `osnl man` and `osnl completions`: manual pages and shell scripts for packages, generated from
//! the definitions of the flags.

pub(crate) mod args;
mod markdown;
mod names;
mod page;
mod scripts;
mod words;

use std::path::Path;

use osnl_model::no_such;

pub(crate) use self::args::{CompletionsArgs, Definition, ManArgs};
use self::args::{ManFormat, ProgramName};
use super::sources::complain;
use crate::exit::Exit;
use crate::output::{print, print_bytes};

pub(crate) fn man(args: &ManArgs, osnl: Definition) -> Exit {
    if let Some(folder) = &args.output_dir {
        return write_all(folder, osnl);
    }
    let pages = args::pages(osnl);
    if !pages.contains(&args.page) {
        complain(&no_such("page", &args.page, pages.iter().map(String::as_str)));
        return Exit::Usage;
    }
    match args.format {
        ManFormat::Roff => page::render(&args.page, osnl).map_or(Exit::Failed, |page| print(&page)),
        ManFormat::Markdown => {
            let pages = args::command(&args.page, osnl).map(|command| markdown::pages(command, osnl));
            print(&pages.unwrap_or_else(|| osnl::native::reference(osnl_legacy::oss::drivers()).markdown()))
        }
    }
}

fn write_all(folder: &Path, osnl: Definition) -> Exit {
    for name in args::pages(osnl) {
        let file = folder.join(page::file_name(&name));
        let text = page::render(&name, osnl).unwrap_or_default();
        if let Err(error) = std::fs::write(&file, text) {
            complain(&format!("{}: {error}; name a folder that this user can write", file.display()));
            return Exit::Failed;
        }
    }
    Exit::Done
}

pub(crate) fn completions(args: &CompletionsArgs, osnl: Definition) -> Exit {
    let Some(shell) = args.shell.filter(|_| args.names.is_none()) else {
        let names = names::offered(args.names.as_deref().unwrap_or_default(), osnl);
        return print(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    };
    let mut script = Vec::new();
    let (mut command, name) = args::completed(args.program, osnl);
    clap_complete::generate(shell, &mut command, name, &mut script);
    match args.program {
        ProgramName::Osnl => print(&scripts::asking(shell, &String::from_utf8_lossy(&script))),
        ProgramName::K2hr3Osnl
        | ProgramName::K2hr3OsnlOld
        | ProgramName::OssWatcher
        | ProgramName::OssWatcherOld => print_bytes(&script),
    }
}
