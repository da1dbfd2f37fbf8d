//! `osnl man` and `osnl completions`: what packages ship, made from the definitions of the flags.
//!
//! | file | what |
//! | --- | --- |
//! | `page.rs` | a manual page: what the flags say, and around it what stands in no `--help` |
//! | `words.rs` | those words, by page |
//! | `markdown.rs` | the commands as pages of the book |

mod markdown;
mod page;
mod words;

use crate::args::man::{self, ManFormat};
use crate::args::{CompletionsArgs, ManArgs};
use crate::exit::Exit;
use crate::output::{print, print_bytes};

pub(crate) fn man(args: &ManArgs) -> Exit {
    match args.format {
        ManFormat::Roff => page::of(&args.page).map_or(Exit::Failed, |page| print(&page)),
        ManFormat::Markdown => {
            let pages = man::command(&args.page).map(markdown::pages);
            print(&pages.unwrap_or_else(|| osnl::native::reference().markdown()))
        }
    }
}

pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    let (mut command, name) = man::completed(args.program);
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print_bytes(&script)
}
