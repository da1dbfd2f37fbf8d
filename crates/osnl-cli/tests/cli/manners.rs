//! The manners of every command. The tests walk the program's own tree of commands, so a new
//! command is tested at once, and needs a row in `samples.rs`.
//!
//! | file | content |
//! | --- | --- |
//! | `tree.rs` | the commands, from `--help` |
//! | `help.rs` | help: an example, and not more than a screen |
//! | `samples.rs` | of each command a call that prints something |
//! | `rig.rs` | the daemon, the broker and the files for those calls |
//! | `output.rs` | pipes, terminals, colours, full disks, JSON |
//! | `ends.rs` | exit statuses, Ctrl-C, and that nothing asks without a terminal |
//! | `screens.rs` | the screens as they are |
//! | `completions.rs` | completions in bash |
//! | `pages.rs` | manual pages, read by groff |

mod completions;
mod ends;
mod help;
mod output;
mod pages;
mod rig;
mod samples;
mod screens;
mod tree;

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");
