//! The folder that cargo-deb and cargo-generate-rpm use as cargo's target folder.
//!
//! Its `dist/` has the program of either build, manual pages, completions, licences, and line tables, made by
//! `stage.sh`. The tables of files are in `crates/osnl-cli/Cargo.toml`. The folder exists because cargo-deb refuses a
//! debug build, which tests package, and neither tool makes files that the program itself prints.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{FEATURES, PROGRAM, REVISION, folder, licences, source_date, source_date_as, version};
use crate::{setup, step};

/// The newest glibc that a released package may need, that of RHEL 9: `README.md` and `docs/install.md` promise it.
const NEWEST_GLIBC: (u32, u32) = (2, 34);

/// Completes the package of line tables as debhelper does: cargo-deb gives it no documentation, no sums, and an old
/// priority. What it contains is compressed already.
const DBGSYM: &str = "umask 022
    dpkg-deb --raw-extract \"$1\" dbgsym
    mkdir -p dbgsym/usr/share/doc
    ln -s osnl dbgsym/usr/share/doc/osnl-dbgsym
    sed -i 's/^Recommends: osnl /Depends: osnl /; s/^Priority: extra/Priority: optional/' dbgsym/DEBIAN/control
    (cd dbgsym && find usr -type f -exec md5sum {} + > DEBIAN/md5sums)
    dpkg-deb --root-owner-group -Zxz -z1 --build dbgsym \"$1\" > /dev/null
    rm -r dbgsym";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    Dist,
    Debug,
}

#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    profile: Profile,
}

impl Stage {
    pub(super) fn make(profile: Profile) -> Result<Self> {
        setup::kafka()?;
        let mut cargo = step::cargo();
        cargo.args(["build", "--locked", "-p", PROGRAM, "--features", FEATURES]);
        let name = match profile {
            Profile::Dist => {
                cargo.args(["--profile", step::DIST]);
                step::DIST
            }
            Profile::Debug => "debug",
        };
        step::run(&mut cargo)?;
        let stage = Self { folder: folder()?.join("stage"), profile };
        let _ = std::fs::remove_dir_all(&stage.folder);
        let dist = stage.folder.join(step::DIST);
        std::fs::create_dir_all(&dist).with_context(|| dist.display().to_string())?;
        std::fs::write(dist.join("THIRD-PARTY.txt"), licences::text(PROGRAM, FEATURES)?)?;
        let built = step::target_dir().join(name).join("osnl");
        let version = format!("{}-{REVISION}", version()?);
        let words =
            [built.display().to_string(), version, source_date_as("-R")?, crate::publish::maintainer()?];
        super::sh(&dist, include_str!("stage.sh"), &words.each_ref().map(String::as_str))?;
        Ok(stage)
    }

    pub(super) fn program(&self) -> PathBuf {
        self.folder.join(step::DIST).join("stripped/osnl")
    }

    /// Refuses a program that needs a newer glibc than the packages promise, as one built on a newer system does.
    pub(super) fn ensure_glibc(&self) -> Result<()> {
        let symbols = step::output(Command::new("objdump").arg("-T").arg(self.program()))?;
        let (major, minor) = newest_glibc(&symbols).context("objdump -T shows no version of glibc")?;
        let (promised, least) = NEWEST_GLIBC;
        ensure!(
            (major, minor) <= NEWEST_GLIBC,
            "the program needs glibc {major}.{minor}, and the packages promise {promised}.{least}: make the release on Debian 12"
        );
        println!("package: the program needs glibc {major}.{minor}, {promised}.{least} at most");
        Ok(())
    }

    pub(super) fn deb(&self) -> Result<Vec<PathBuf>> {
        let mut deb = Command::new(setup::cargo_deb()?);
        deb.args(["--package", PROGRAM, "--no-build", "--locked", "--quiet", "--deb-revision", REVISION]);
        deb.args(["--profile", step::DIST]);
        // The tool's own gzip is Zopfli, which takes minutes.
        deb.arg("--compress-system");
        deb.args(match self.profile {
            Profile::Dist => ["--dbgsym", "--compress-debug-symbols=zlib"].as_slice(),
            Profile::Debug => &["--strip", "--fast", "--compress-type=gz"],
        });
        let packages = self.made(deb.env("CARGO_TARGET_DIR", &self.folder), "deb")?;
        for package in packages.iter().filter(|package| package.to_string_lossy().ends_with(".ddeb")) {
            super::sh(&self.folder, DBGSYM, &[&package.display().to_string()])?;
        }
        Ok(packages)
    }

    pub(super) fn rpm(&self) -> Result<Vec<PathBuf>> {
        let licence = format!("license = \"{}\"", licences::expression(PROGRAM, FEATURES, &[])?);
        let this_osnl = format!("{licence}\nrequires = {{ osnl = \"= {}-{REVISION}\" }}", version()?);
        let compression = match self.profile {
            Profile::Dist => "zstd",
            Profile::Debug => "none",
        };
        let mut packages = Vec::new();
        for (variant, metadata, requirements) in
            [("program", &licence, "builtin"), ("debuginfo", &this_osnl, "disabled")]
        {
            let mut rpm = Command::new(setup::cargo_generate_rpm()?);
            rpm.args(["--package", "crates/osnl-cli", "--variant", variant, "--profile", step::DIST]);
            rpm.arg("--target-dir").arg(&self.folder);
            rpm.args(["--payload-compress", compression, "--auto-req", requirements]);
            rpm.arg("--set-metadata").arg(metadata);
            packages.extend(self.made(&mut rpm, variant)?);
        }
        Ok(packages)
    }

    fn made(&self, tool: &mut Command, name: &str) -> Result<Vec<PathBuf>> {
        let out = self.folder.join(name);
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir_all(&out)?;
        tool.arg("--output").arg(&out).current_dir(step::root()).stdin(Stdio::null()).stdout(Stdio::null());
        step::run(tool.env("SOURCE_DATE_EPOCH", source_date()?))?;
        let mut packages = Vec::new();
        for entry in std::fs::read_dir(&out)?.flatten() {
            let package = folder()?.join(entry.file_name());
            std::fs::rename(entry.path(), &package).with_context(|| package.display().to_string())?;
            packages.push(package);
        }
        packages.sort();
        Ok(packages)
    }
}

/// Returns the highest version among the symbols of glibc that `objdump -T` shows.
fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let version = |after: &str| {
        let number = after.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut parts = number.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    symbols.split("GLIBC_").skip(1).filter_map(version).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_found_by_number() {
        let symbols = "\
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.34) __libc_start_main
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.2.5) free
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.4) __stack_chk_fail
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_PRIVATE) __internal
0000000000000000      DF *UND*\t0000000000000000 (GCC_3.3) _Unwind_GetIP
";
        assert_eq!(newest_glibc(symbols), Some((2, 34)));
        assert_eq!(newest_glibc(&symbols.replace("2.34", "2.38")), Some((2, 38)));
        assert_eq!(newest_glibc("no symbols"), None);
    }
}
