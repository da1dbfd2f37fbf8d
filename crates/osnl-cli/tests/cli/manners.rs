//! The manners of every command, over the tree of commands as the program itself has it: a new command is in these tests
//! by itself, and asks for its row in `samples.rs`.
//!
//! | file | what |
//! | --- | --- |
//! | `tree.rs` | the commands, from `--help` |
//! | `help.rs` | help: an example, and not more than a screen |
//! | `samples.rs` | of each command a call that prints something |
//! | `rig.rs` | the daemon, the broker and the files that those calls meet |
//! | `output.rs` | pipes, terminals, colours, full disks, JSON |
//! | `ends.rs` | exit statuses, Ctrl-C, and that nothing asks without a terminal |
//! | `screens.rs` | the screens as they are |
//! | `completions.rs` | what bash offers |
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
