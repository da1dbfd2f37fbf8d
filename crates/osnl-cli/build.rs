//! Has the linker put the functions that every daemon runs beside each other: `layout.ld`, which
//! `cargo xtask layout` writes.
//!
//! The kernel maps a program in pieces of 64 KiB and more. Functions that are spread over all of it make all of it
//! resident; beside each other they are a third. Only the layout differs: a linker that finds none of the names does as
//! it would have done.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=layout.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // mold, and Zig's linker, do not read such a file: with a linker that somebody chose, none is named.
    let is_chosen = env::var_os("RUSTC_LINKER").is_some()
        || env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| {
            flags.split('\x1f').any(|flag| flag.trim_start_matches("-C").starts_with("link"))
        });
    if is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && !is_chosen
    {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // Two arguments, not `-Wl,`: a folder may have a comma in its name.
        println!("cargo::rustc-link-arg-bins=-T");
        println!("cargo::rustc-link-arg-bins={folder}/layout.ld");
    }
}
