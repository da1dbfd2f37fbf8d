//! The packages, built in two directories: a release whose bytes depend on the place of its build is none.
//!
//! Each directory has a copy of the tree, a target folder of its own, and no flags of the machine. Paths are replaced by
//! fixed ones, in Rust (`--remap-path-prefix`) and in C (`-ffile-prefix-map`), and times are those of the last commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{package, step};

/// Paths of different length, without a blank: librdkafka's build takes none.
const PLACES: [&str; 2] = ["one", "another-place"];

/// Builds twice, compares, and leaves the packages in `folder`.
pub(super) fn twice(folder: &Path) -> Result<()> {
    crate::setup::kafka()?;
    let mut made = Vec::new();
    for place in PLACES {
        let place = step::target_dir().join("release-builds").join(place);
        let _ = fs::remove_dir_all(&place);
        let started = std::time::Instant::now();
        let program = once(&place)?;
        let packages = package::of_program(&program, &place.join("split"))?;
        let kept = place.join("packages");
        fs::create_dir_all(&kept)?;
        let mut names = Vec::new();
        for package in packages {
            let name = package.file_name().context("a package without a name")?.to_owned();
            fs::rename(&package, kept.join(&name))?;
            names.push(name);
        }
        println!("release: built in {}: {:.0} s", place.display(), started.elapsed().as_secs_f32());
        made.push((kept, names));
    }
    let [(first, names), (second, others)] = made.as_slice() else { bail!("two builds were asked for") };
    if names != others {
        bail!("the two builds made different files: {names:?} and {others:?}");
    }
    for name in names {
        let (one, two) = (fs::read(first.join(name))?, fs::read(second.join(name))?);
        if one != two {
            let at =
                one.iter().zip(&two).position(|(one, two)| one != two).unwrap_or(one.len().min(two.len()));
            bail!(
                "not reproducible: {} and {} differ from byte {at} on; diffoscope shows in what",
                first.join(name).display(),
                second.join(name).display()
            );
        }
        fs::write(folder.join(name), one)?;
        println!("release: {}: the same {} bytes from both builds", name.display(), two.len());
    }
    Ok(())
}

/// Builds the program in a copy of the tree below `place`.
fn once(place: &Path) -> Result<PathBuf> {
    let (source, target) = (place.join("osnl"), place.join("target"));
    fs::create_dir_all(&source).with_context(|| source.display().to_string())?;
    let copy = "git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | \
                while IFS= read -r -d '' path; do [ -e \"$path\" ] && printf '%s\\0' \"$path\"; done | \
                tar --null --files-from=- -cf - | tar -xf - -C \"$1\"";
    step::run(
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", copy, "bash"])
            .arg(&source)
            .current_dir(step::root()),
    )?;
    let home = step::cargo_home()?;
    // With the component rust-src the compiler writes the place of its own sources; without it, `/rustc/…`.
    let library = sysroot()?.join("lib/rustlib/src/rust");
    let from = [
        (&source, "/usr/src/osnl"),
        (&target, "/usr/src/target"),
        (&home, "/usr/src/cargo"),
        (&library, "/usr/src/rust"),
    ];
    let rust = from.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).join("\u{1f}");
    // Not quoted: librdkafka's `configure` takes quotes for a part of the flag.
    let c = from.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).join(" ");
    ensure!(
        from.iter().all(|(from, _)| !from.display().to_string().contains(' ')),
        "a folder of the build has a blank in its path, which librdkafka's build does not take: {c}"
    );
    let mut cargo = step::cargo();
    cargo
        .args(["build", "--release", "--locked", "-p", "osnl-cli", "--features", package::FEATURES])
        .current_dir(&source)
        .stdin(Stdio::null());
    cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_ENCODED_RUSTFLAGS", rust).env_remove("RUSTFLAGS");
    cargo.env("CFLAGS", c).env("SOURCE_DATE_EPOCH", package::moment()?);
    cargo.env("CARGO_INCREMENTAL", "0");
    step::run(&mut cargo)?;
    Ok(target.join("release/osnl"))
}

/// The folder that cargo has the sources of dependencies in.
fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(step::root()).output();
    let output = output.context("rustc cannot be run")?;
    if !output.status.success() {
        bail!("rustc --print sysroot: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
