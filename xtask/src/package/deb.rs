//! Debian packages: the tree, with control files from `packaging/deb`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::binary::Binary;
use super::tree::{self, DistributionFamily};
use super::{folder, moment, moment_as, sh, version};
use crate::step;

/// The time that goes into a small size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DebCompression {
    /// For operators.
    Small,
    /// For the gate, which installs the package once.
    Fast,
}

const MAINTAINER: &str = "The osnl developers <osnl@lists.osnl.org>";

/// Makes `osnl` and `osnl-dbgsym`, and returns their paths.
pub(super) fn make(binary: &Binary, revision: &str, compression: DebCompression) -> Result<Vec<PathBuf>> {
    let version = format!("{}-{revision}", version()?);
    let architecture = step::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let work = folder()?.join("deb");
    let pack = |root: &Path, name: &str, fields: &str| -> Result<PathBuf> {
        let control = root.join("DEBIAN/control");
        let size = installed_size(root)?;
        let head = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {MAINTAINER}\n\
             Installed-Size: {size}\n"
        );
        tree::file(&control, &format!("{head}{fields}"))?;
        sh(
            root,
            "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | sort -z | xargs -0r md5sum > DEBIAN/md5sums",
            &[],
        )?;
        let package = folder()?.join(format!("{name}_{version}_{architecture}.deb"));
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.args([
            "--root-owner-group",
            if compression == DebCompression::Small { "-Zxz" } else { "-Znone" },
            "--build",
        ]);
        dpkg.args([root, &package]).env("SOURCE_DATE_EPOCH", moment()?).stdout(std::process::Stdio::null());
        step::run(&mut dpkg)?;
        Ok(package)
    };

    let root = work.join("osnl");
    tree::write(&root, binary, DistributionFamily::Debian)?;
    documents(&root, &version)?;
    scripts(&root)?;
    let package = pack(&root, "osnl", &fields(binary)?)?;

    let lines = work.join("osnl-dbgsym");
    tree::write_lines(&lines, binary)?;
    tree::link("osnl", &lines.join("usr/share/doc/osnl-dbgsym"))?;
    let debug = pack(
        &lines,
        "osnl-dbgsym",
        &format!(
            "Depends: osnl (= {version})\nSection: debug\nPriority: optional\nAuto-Built-Package: debug-symbols\n\
             Description: line tables for osnl\n With this package a backtrace of osnl names files and lines.\n"
        ),
    )?;
    Ok(vec![package, debug])
}

/// Debian's package of each shared library that a program of ours may need; what is newer provides it under this name.
/// Those of glibc are in `libc6`.
const LIBRARIES: &[(&str, &str)] = &[
    ("libcrypto.so.3", "libssl3 (>= 3.0.0)"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libssl.so.3", "libssl3 (>= 3.0.0)"),
    ("libz.so.1", "zlib1g"),
];
const OF_GLIBC: &[&str] = &["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6"];

/// Returns the packages that libraries need, each once.
fn depends(libraries: &[String]) -> Result<Vec<&'static str>> {
    let mut packages = Vec::new();
    for library in libraries.iter().filter(|library| !OF_GLIBC.contains(&library.as_str())) {
        let Some((_, package)) = LIBRARIES.iter().find(|(name, _)| name == library) else {
            bail!(
                "the program needs {library}: name Debian's package of it in xtask/src/package/deb.rs, or link it statically"
            )
        };
        packages.push(*package);
    }
    packages.sort_unstable();
    packages.dedup();
    Ok(packages)
}

fn fields(binary: &Binary) -> Result<String> {
    let libraries = depends(&binary.libraries)?.join(", ");
    Ok(format!(
        "Depends: libc6 (>= {}), {libraries}, procps, systemd | systemd-standalone-sysusers | systemd-sysusers\n\
         Recommends: ca-certificates\nSuggests: bash-completion, logrotate, rabbitmq-server\n\
         Section: net\nPriority: optional\n\
         Description: act on OpenStack notifications without losing any\n \
         osnl, the OpenStack Notification Listener, reads the notifications of nova,\n \
         neutron, and other services from RabbitMQ or Kafka, matches them against\n \
         rules, and calls HTTP services, K2HR3, programs, mail, or other brokers, in\n \
         order and at least once, from a journal on disk.\n .\n \
         It takes the configuration files and command lines of k2hr3_osnl and\n \
         oss_watcher.\n",
        binary.glibc
    ))
}

/// Writes the documents that Debian wants.
fn documents(root: &Path, version: &str) -> Result<()> {
    let doc = root.join("usr/share/doc/osnl");
    let deb = step::root().join("packaging/deb");
    tree::copy(&deb.join("copyright"), &doc.join("copyright"), 0o644)?;
    tree::copy(&step::root().join("CHANGELOG.md"), &doc.join("changelog"), 0o644)?;
    let date = moment_as("-R")?;
    let log = format!(
        "osnl ({version}) unstable; urgency=medium\n\n  * Version {}: the changes are in changelog.gz.\n\n \
         -- {MAINTAINER}  {date}\n",
        super::version()?
    );
    tree::file(&doc.join("changelog.Debian"), &log)?;
    sh(&doc, "gzip -9n changelog changelog.Debian", &[])?;
    tree::copy(&deb.join("lintian-overrides"), &root.join("usr/share/lintian/overrides/osnl"), 0o644)
}

fn scripts(root: &Path) -> Result<()> {
    for name in ["postinst", "prerm", "postrm"] {
        let script = step::root().join("packaging/deb").join(name);
        tree::copy(&script, &root.join("DEBIAN").join(name), 0o755)?;
    }
    let kept: String = tree::KEPT.iter().map(|path| format!("/{path}\n")).collect();
    tree::file(&root.join("DEBIAN/conffiles"), &kept)
}

/// In KiB, as dpkg counts: each file in whole ones, and one for everything else.
fn installed_size(root: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        size += if kind.is_dir() {
            1 + installed_size(&entry.path())?
        } else if kind.is_file() {
            entry.metadata()?.len().div_ceil(1024)
        } else {
            1
        };
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::depends;

    #[test]
    fn libraries_become_packages_and_an_unknown_one_is_an_error() {
        let check = |libraries: &[&str], expected: Result<&[&str], &str>| {
            let libraries: Vec<String> = libraries.iter().map(|name| (*name).to_owned()).collect();
            match (depends(&libraries), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(part)) => assert!(found.to_string().contains(part), "{found}"),
                (found, expected) => panic!("{libraries:?}: {found:?}, expected {expected:?}"),
            }
        };
        check(&["libm.so.6", "libc.so.6"], Ok(&[]));
        check(&["libssl.so.3", "libcrypto.so.3", "libgcc_s.so.1"], Ok(&["libgcc-s1", "libssl3 (>= 3.0.0)"]));
        check(&["libz.so.1", "librdkafka.so.1"], Err("needs librdkafka.so.1"));
    }
}
