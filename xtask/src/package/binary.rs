//! The program: built, and split into what is shipped and what backtraces are read with.
//!
//! The line tables go to a file by the build id, where the program itself, gdb, and addr2line look for them:
//! `/usr/lib/debug/.build-id/`. With that package a panic's backtrace has files and lines; without it, functions are
//! addresses, which the file still resolves later.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{FEATURES, folder};
use crate::{setup, step};

/// The build that is packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// The build for operators.
    Release,
    /// The build of the tests, which is there already: for the gate.
    Debug,
}

/// A program and its line tables.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) program: PathBuf,
    pub(super) lines: PathBuf,
    /// The path of the line tables below `usr/lib/debug/.build-id`.
    pub(super) build_id_path: String,
    /// The oldest glibc that has every symbol, as `2.34`.
    pub(super) glibc: String,
    /// The names of the shared libraries that it is linked with, as `libc.so.6`.
    pub(super) libraries: Vec<String>,
}

/// The glibc of the oldest Debian that a package is tried on.
const NEWEST_GLIBC: (u32, u32) = (2, 36);

impl Binary {
    /// Builds and splits.
    pub(super) fn build(profile: Profile) -> Result<Self> {
        setup::kafka()?;
        let mut cargo = step::cargo();
        cargo.args(["build", "--locked", "-p", "osnl-cli", "--features", FEATURES]);
        let name = match profile {
            Profile::Release => {
                cargo.arg("--release");
                "release"
            }
            Profile::Debug => "debug",
        };
        step::run(&mut cargo)?;
        let binary = Self::split(&step::target_dir().join(name).join("osnl"), &folder()?.join(name))?;
        if profile == Profile::Release {
            binary.ensure_lines()?;
        }
        Ok(binary)
    }

    /// Asks the line tables for the function that the program begins with.
    fn ensure_lines(&self) -> Result<()> {
        let symbols = step::output(Command::new("nm").arg("--demangle").arg(&self.lines))?;
        let main = symbols.lines().find_map(|line| line.strip_suffix("osnl::main")?.split(' ').next());
        let main = main.context("the file of line tables has no function osnl::main")?;
        let line = step::output(Command::new("addr2line").arg("-e").arg(&self.lines).arg(main))?;
        ensure!(
            line.contains("osnl-cli/src/main.rs:"),
            "the file of line tables resolves osnl::main to {line}"
        );
        Ok(())
    }

    /// Splits a program into two files in `out`.
    pub(super) fn split(built: &Path, out: &Path) -> Result<Self> {
        std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
        let (program, lines) = (out.join("osnl"), out.join("osnl.debug"));
        step::run(
            Command::new("objcopy")
                .args(["--only-keep-debug", "--compress-debug-sections"])
                .args([built, &lines]),
        )?;
        step::run(Command::new("objcopy").arg("--strip-all").args([built, &program]))?;
        let notes = step::output(Command::new("readelf").args(["--notes", "--wide"]).arg(&program))?;
        let id = build_id(&notes)
            .with_context(|| format!("{} has no build id: link it with -Wl,--build-id", built.display()))?;
        let symbols = step::output(Command::new("readelf").args(["--version-info", "--wide"]).arg(&program))?;
        let (major, minor) = newest_glibc(&symbols).context("the program needs no symbol of glibc")?;
        ensure!(
            (major, minor) <= NEWEST_GLIBC,
            "the program needs glibc {major}.{minor}, newer than the oldest system that packages are for ({}.{}): \
             build it there",
            NEWEST_GLIBC.0,
            NEWEST_GLIBC.1
        );
        let build_id_path = format!("{}/{}.debug", &id[..2], &id[2..]);
        let dynamic = step::output(Command::new("readelf").args(["--dynamic", "--wide"]).arg(&program))?;
        let libraries = libraries(&dynamic);
        Ok(Self { program, lines, build_id_path, glibc: format!("{major}.{minor}"), libraries })
    }
}

/// Finds the build id in what `readelf --notes` prints.
fn build_id(notes: &str) -> Option<&str> {
    let (_, rest) = notes.split_once("Build ID: ")?;
    let id = rest.lines().next()?.trim();
    (id.len() > 2 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// Finds the shared libraries in what `readelf --dynamic` prints.
fn libraries(dynamic: &str) -> Vec<String> {
    let named = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    let name = |line: &str| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned());
    named.filter_map(name).collect()
}

/// Finds the newest version of glibc in what `readelf --version-info` prints.
fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
        let mut numbers = version.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::{build_id, libraries, newest_glibc};

    #[test]
    fn the_libraries_are_those_that_are_needed() {
        let dynamic = "  Tag                Type       Name/Value\n \
             0x0000000000000001 (NEEDED)             Shared library: [libssl.so.3]\n \
             0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n \
             0x000000000000001d (RUNPATH)            Library runpath: [/usr/lib]\n";
        assert_eq!(libraries(dynamic), ["libssl.so.3", "libc.so.6"]);
        assert_eq!(libraries(""), [""; 0]);
    }

    #[test]
    fn the_newest_glibc_is_by_number() {
        let check =
            |text: &str, expected: Option<(u32, u32)>| assert_eq!(newest_glibc(text), expected, "{text}");
        check("", None);
        check(
            "0x0010: Name: GLIBC_2.9  Flags: none  Version: 4\n Name: GLIBC_2.34 \n GLIBC_2.2.5",
            Some((2, 34)),
        );
        check("Name: GLIBC_PRIVATE", None);
        check("Name: GCC_3.0", None);
    }

    #[test]
    fn a_build_id_is_in_the_notes() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(build_id(text), expected, "{text}");
        check("  GNU  0x14  NT_GNU_BUILD_ID\n    Build ID: 0a1b2c\n", Some("0a1b2c"));
        check("  NT_GNU_BUILD_ID (unique build ID bitstring)\t    Build ID: 42192b1f\n\n", Some("42192b1f"));
        check("    Build ID: \n", None);
        check("", None);
    }
}
