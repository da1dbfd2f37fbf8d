//! The subcommands, one a file.

pub(crate) mod demo;
pub(crate) mod k2hr3_osnl;
