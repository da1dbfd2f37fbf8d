//! Wheels for PyPI: `osnl`, which is the program, and `osnl-k2hr3`, the module k2hr3_osnl.
//!
//! maturin builds both, in an environment of its own under `target/`. `package wheel-test` installs both into a fresh
//! environment without an index and without a compiler in its PATH. With `--candidate` it does the same with wheels
//! that pip has built from the source distributions.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use osnl_testkit::Broker;

use super::origin::{Origin, released};
use super::stage::Profile;
use super::{FEATURES, FEATURES_OF_WHEEL, PROGRAM, folder, licences};
use crate::{setup, step};

/// A project, the package that it builds, and how its wheel's name begins.
pub(super) const WHEELS: [(&str, &str, &str); 2] =
    [("packaging/pypi/osnl", PROGRAM, "osnl-"), ("crates/osnl-python", "osnl-python", "osnl_k2hr3-")];

/// The file of foreign licences. It has this name because `license-files` of both projects takes `LICENSE-*` into
/// `dist-info/licenses`, and it exists only while a wheel is built.
const LICENCES: &str = "LICENSE-THIRD-PARTY.txt";

/// The oldest glibc of the released wheels, that of RHEL 8. Zig links for it, because this machine's glibc is newer.
const GLIBC: &str = "manylinux_2_28";

pub(super) fn make(profile: Profile) -> Result<Vec<PathBuf>> {
    setup::kafka()?;
    let maturin = match profile {
        Profile::Dist => setup::maturin_with_zig()?,
        Profile::Debug => setup::maturin()?,
    };
    let out = folder()?.join("wheels");
    let _ = std::fs::remove_dir_all(&out);
    let features = match profile {
        Profile::Dist => FEATURES_OF_WHEEL,
        Profile::Debug => FEATURES,
    };
    for (project, package, _) in WHEELS {
        let mut build = step::building(&maturin);
        build.args(["build", "--locked", "--quiet", "--out"]).arg(&out);
        match profile {
            Profile::Dist => {
                build.args(["--profile", step::DIST]);
                for_older_glibc(&mut build, &maturin)?;
            }
            Profile::Debug => {
                build.args(["--profile", "dev", "--auditwheel", "skip"]);
            }
        }
        // Another target folder would build everything again.
        build.args(["--features", features]).env("CARGO_TARGET_DIR", step::target_dir());
        with_licences(project, &licences::text(package, features)?, &mut build)
            .with_context(|| format!("the wheel of {project}"))?;
    }
    WHEELS.iter().map(|(_, _, name)| file(&out, name)).collect()
}

/// Runs a command of maturin in the folder of a project, which has the file of foreign licences as long as it runs.
fn with_licences(project: &str, licences: &str, maturin: &mut Command) -> Result<()> {
    let place = step::root().join(project);
    let listed = place.join(LICENCES);
    std::fs::write(&listed, licences).with_context(|| listed.display().to_string())?;
    let done = step::run(maturin.current_dir(&place).stdin(Stdio::null()));
    let _ = std::fs::remove_file(&listed);
    done
}

/// Returns the files of a release for PyPI: the wheels, and source distributions for other systems. twine refuses what
/// PyPI would show without a description.
pub(super) fn for_pypi() -> Result<Vec<PathBuf>> {
    let mut files = make(Profile::Dist)?;
    let maturin = setup::maturin_with_zig()?;
    let out = folder()?.join("sources");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    for (project, package, name) in WHEELS {
        // As pip calls it, with the crates of all features: cargo reads none if one is missing.
        let mut sources = step::building(&maturin);
        sources.args(["pep517", "write-sdist", "--sdist-directory"]).arg(&out);
        with_licences(project, &licences::text(package, FEATURES_OF_WHEEL)?, &mut sources)
            .with_context(|| format!("the source distribution of {project}"))?;
        files.push(file(&out, name)?);
    }
    let mut twine = Command::new(setup::twine()?);
    step::run(twine.args(["check", "--strict"]).args(&files).stdin(Stdio::null()))?;
    Ok(files)
}

/// Lets Zig link; maturin looks for Zig as a module of the first Python in PATH.
fn for_older_glibc(build: &mut Command, maturin: &Path) -> Result<()> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    build.args(["--zig", "--compatibility", GLIBC, "--target", &target]);
    build.env("PATH", path_with(maturin)?);
    // librdkafka's configure asks for the compiler by this name; the system's would use functions of its newer glibc.
    build.env("CC", zig_compiler(maturin)?);
    // librdkafka's list of exported functions names some that this build lacks, which LLVM's linker refuses else.
    build.env("LDFLAGS", "-Wl,--undefined-version");
    Ok(())
}

fn path_with(maturin: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = maturin.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}

fn zig_compiler(maturin: &Path) -> Result<PathBuf> {
    let python = maturin.with_file_name("python");
    let version = GLIBC.trim_start_matches("manylinux_").replace('_', ".");
    let target = format!("{}-linux-gnu.{version}", std::env::consts::ARCH);
    let script = format!("#!/bin/sh\nexec {} -m ziglang cc -target {target} \"$@\"\n", python.display());
    let path = folder()?.join("zig-cc");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

pub(super) fn test(flags: &[&str]) -> Result<ExitCode> {
    let (origin, flags) = Origin::parse(flags)?;
    let python = match *flags.as_slice() {
        [] => "python3",
        ["--python", python] => python,
        _ => anyhow::bail!(
            "unknown arguments: {}; allowed: --python PROGRAM, --release, --candidate",
            flags.join(" ")
        ),
    };
    setup::broker_only()?;
    let started = Instant::now();
    let wheels = match origin {
        Origin::Build(profile) => make(profile)?,
        Origin::Candidate => released_with(".whl")?,
    };
    println!("package: made {} wheels in {:.1} s", wheels.len(), started.elapsed().as_secs_f32());
    let environment = folder()?.join(format!("venv-{}", std::process::id()));
    let mut result = in_environment(&environment, python, &wheels);
    if result.is_ok() && origin == Origin::Candidate {
        result = from_sources().and_then(|wheels| in_environment(&environment, python, &wheels));
    }
    let _ = std::fs::remove_dir_all(&environment);
    result
}

fn released_with(ending: &str) -> Result<Vec<PathBuf>> {
    Ok(released()?.into_iter().filter(|file| file.to_string_lossy().ends_with(ending)).collect())
}

/// Builds wheels from the released source distributions as pip does, with the profile for tests.
fn from_sources() -> Result<Vec<PathBuf>> {
    setup::kafka()?;
    let maturin = setup::maturin()?;
    let started = Instant::now();
    let out = folder()?.join("wheels-of-sources");
    let _ = std::fs::remove_dir_all(&out);
    // pip unpacks into a folder of another name each time, so what is built there serves no later build.
    let target = out.join("target");
    let mut pip = step::building(maturin.with_file_name("python"));
    pip.args(["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]);
    pip.args(["--no-build-isolation", "--wheel-dir"]).arg(&out).args(released_with(".tar.gz")?);
    pip.env("PATH", path_with(&maturin)?).env("CARGO_TARGET_DIR", &target);
    pip.env("MATURIN_PEP517_ARGS", format!("--profile dev --features {FEATURES}"));
    step::run(pip.stdin(Stdio::null())).context("the wheels of the source distributions")?;
    // Nothing but SQLite calls it, by the flags of `.cargo/config.toml`.
    for built in ["debug/osnl", "debug/libosnl_python.so"] {
        let mut grep = Command::new("grep");
        step::run(grep.args(["--quiet", "__memcpy_chk"]).arg(target.join(built)).stdin(Stdio::null()))
            .with_context(|| format!("{built}: the source distribution lacks the flags of SQLite"))?;
    }
    let _ = std::fs::remove_dir_all(&target);
    println!("package: built the sources in {:.1} s", started.elapsed().as_secs_f32());
    WHEELS.iter().map(|(_, _, name)| file(&out, name)).collect()
}

pub(super) fn install(environment: &Path, python: &str, wheels: &[PathBuf]) -> Result<()> {
    let started = Instant::now();
    step::run(Command::new(python).args(["-m", "venv"]).arg(environment).stdin(Stdio::null()))?;
    let bin = environment.join("bin");
    let mut pip = Command::new(bin.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"]).args(wheels);
    step::run(pip.env("PATH", &bin).stdin(Stdio::null()))?;
    println!("package: installed the wheels in {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}

fn in_environment(environment: &Path, python: &str, wheels: &[PathBuf]) -> Result<ExitCode> {
    let _ = std::fs::remove_dir_all(environment);
    install(environment, python, wheels)?;
    let bin = environment.join("bin");
    let broker = Broker::start();
    let mut tests = Command::new(bin.join("python"));
    tests.args(["-B", "-I", "-m", "unittest", "discover", "--start-directory"]);
    tests.arg(step::root().join("crates/osnl-python/tests"));
    tests.env("PATH", &bin).env("OSNL_BROKER", broker.url()).stdin(Stdio::null());
    let status = tests.status().context("cannot run the tests")?;
    ensure!(status.success(), "the tests of the module ended with {status}");
    Ok(ExitCode::SUCCESS)
}

fn file(folder: &Path, name: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_string_lossy().starts_with(name).then_some(path)
    });
    found.next().with_context(|| format!("no file {name}… in {}", folder.display()))
}
