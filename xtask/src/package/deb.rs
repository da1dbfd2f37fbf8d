//! Debian packages: the tree, with control files from `packaging/deb`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::binary::Binary;
use super::tree::{self, Family};
use super::{folder, moment, moment_as, sh, version};
use crate::step;

/// The time that goes into a small size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// For operators.
    Small,
    /// For the gate, which installs the package once.
    Fast,
}

const MAINTAINER: &str = "The osnl developers <osnl@lists.osnl.org>";

/// Makes `osnl` and `osnl-dbgsym`, and returns their paths.
pub(super) fn make(binary: &Binary, revision: &str, compression: Compression) -> Result<Vec<PathBuf>> {
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
            if compression == Compression::Small { "-Zxz" } else { "-Znone" },
            "--build",
        ]);
        dpkg.args([root, &package]).env("SOURCE_DATE_EPOCH", moment()?).stdout(std::process::Stdio::null());
        step::run(&mut dpkg)?;
        Ok(package)
    };

    let root = work.join("osnl");
    tree::write(&root, binary, Family::Debian)?;
    documents(&root, &version)?;
    scripts(&root)?;
    let package = pack(&root, "osnl", &fields(binary))?;

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

fn fields(binary: &Binary) -> String {
    format!(
        "Depends: libc6 (>= {}), libgcc-s1, procps, systemd | systemd-standalone-sysusers | systemd-sysusers\n\
         Recommends: ca-certificates\nSuggests: bash-completion, logrotate, rabbitmq-server\n\
         Section: net\nPriority: optional\n\
         Description: act on OpenStack notifications without losing any\n \
         osnl, the OpenStack Notification Listener, reads the notifications of nova,\n \
         neutron, and other services from RabbitMQ, matches them against rules, and\n \
         calls HTTP services, K2HR3, programs, mail, or other brokers, in order and\n \
         at least once, from a journal on disk.\n .\n \
         It takes the configuration files and command lines of k2hr3_osnl and\n \
         oss_watcher.\n",
        binary.glibc
    )
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
