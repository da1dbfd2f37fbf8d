//! The container's image: the program, its linked libraries, CA certificates, and a user.
//!
//! The files are this machine's, so that no base image has to be fetched: `packaging/container/Containerfile` starts
//! from nothing. `package image-test` builds the image by podman and runs it with a read-only root and with the
//! options of the chart in `packaging/helm`; no cluster is tried.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::Broker;

use super::stage::{Profile, Stage};
use super::{folder, pristine, sh};
use crate::{setup, step};

/// The user of many images that need none, without a name on the host.
const USER: &str = "65532";

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The path of certificates for Debian's OpenSSL, with which Kafka's client library is linked.
const OF_OPENSSL: &str = "usr/lib/ssl/cert.pem";

const TEST: &str = include_str!("image/test.sh");

/// Renders the chart with the listener nova of an example.
const RENDER: &str = r#"
import sys, helm_python, yaml
values = yaml.safe_load(open(sys.argv[2]))
values["listeners"] = {"nova": values["listeners"]["nova"]}
with helm_python.Chart.load(sys.argv[1]) as chart:
    print("\n---\n".join(chart.render(values, name="osnl", namespace="osnl").values()))
"#;

pub(super) fn make(stage: &Stage) -> Result<PathBuf> {
    let image = folder()?.join("image");
    let root = image.join("rootfs");
    let _ = fs::remove_dir_all(&image);
    copy(&stage.program(), &root.join("usr/bin/osnl"), 0o755)?;
    for library in libraries(&stage.program())? {
        let place = library.strip_prefix("/").unwrap_or(&library);
        copy(&fs::canonicalize(&library)?, &root.join(place), 0o755)?;
        let copyright = copyright(&library)?;
        copy(&copyright, &root.join(copyright.strip_prefix("/").unwrap_or(&copyright)), 0o644)?;
    }
    ensure!(Path::new(CERTIFICATES).exists(), "there is no {CERTIFICATES}: apt-get install ca-certificates");
    copy(Path::new(CERTIFICATES), &root.join(&CERTIFICATES[1..]), 0o644)?;
    let openssl = root.join(OF_OPENSSL);
    fs::create_dir_all(openssl.parent().unwrap_or(&root))?;
    symlink(CERTIFICATES, &openssl)?;
    file(&root.join("etc/passwd"), &format!("osnl:x:{USER}:{USER}::/var/lib/osnl:/nonexistent\n"))?;
    file(&root.join("etc/group"), &format!("osnl:x:{USER}:\n"))?;
    let packaging = step::root().join("packaging");
    copy(&packaging.join("etc/osnl.conf"), &root.join("etc/osnl/osnl.conf"), 0o644)?;
    file(&root.join("usr/share/doc/osnl/THIRD-PARTY.txt"), &super::licences::text()?)?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&step::root().join(name), &root.join("usr/share/doc/osnl").join(name), 0o644)?;
    }
    copy(&packaging.join("container/Containerfile"), &image.join("Containerfile"), 0o644)?;
    sh(
        &root,
        "mkdir -p -m 755 var var/lib etc/osnl/conf.d && mkdir -m 700 var/lib/osnl && mkdir -m 1777 tmp",
        &[],
    )?;
    let archive = image.join("rootfs.tar");
    let owned = "tar --sort=name --mtime=\"@$SOURCE_DATE_EPOCH\" --owner=0 --group=0 --numeric-owner -cf \"$1\" \
                 --exclude=./var/lib/osnl . && tar --mtime=\"@$SOURCE_DATE_EPOCH\" --owner=$2 --group=$2 \
                 --numeric-owner -rf \"$1\" ./var/lib/osnl";
    sh(&root, owned, &[&archive.display().to_string(), USER])?;
    Ok(archive)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let mut install = Command::new("install");
    install.args(["-D", "-m", &format!("{mode:o}")]);
    step::run(install.args([from, to]))
}

fn file(path: &Path, text: &str) -> Result<()> {
    let written = folder()?.join("written");
    fs::write(&written, text).with_context(|| written.display().to_string())?;
    copy(&written, path, 0o644)
}

pub(super) fn test(flags: &[&str]) -> Result<ExitCode> {
    let profile = match flags {
        [] => Profile::Debug,
        ["--release"] => Profile::Release,
        _ => bail!("{}: allowed is --release", flags.join(" ")),
    };
    let python = setup::on_ramps()?.join("bin/python");
    let manifests = folder()?.join("manifests.yaml");
    let mut render = Command::new(&python);
    render.args(["-c", RENDER]).args(["osnl", "examples/openstack-helm.yaml"]);
    fs::write(&manifests, step::output(render.current_dir(step::root().join("packaging/helm")))?)?;
    setup::podman()?;
    setup::broker_only()?;
    let archive = make(&Stage::make(profile)?)?;
    let broker = Broker::start();
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let image = archive.parent().context("an archive without a folder")?;
    let mut script = Command::new("unshare");
    script.args(["--mount", "--propagation", "private", "sh", "-c"]);
    script.arg(format!("{}\n{TEST}", pristine::COMMON)).args(["sh", &broker.url()]).arg(&manifests);
    script.arg(&python).arg(port.to_string()).current_dir(image).stdin(Stdio::null());
    step::run(&mut script)?;
    println!("package: the image: all steps passed");
    Ok(ExitCode::SUCCESS)
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let said = step::output(Command::new("ldd").arg(program))?;
    Ok(said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn copyright(library: &Path) -> Result<PathBuf> {
    let name = library.file_name().context("a library without a name")?.to_string_lossy();
    // The search uses only the file's name, because its folder may be a link that dpkg does not know.
    let said = step::output(Command::new("dpkg-query").arg("--search").arg(format!("*/{name}")))?;
    let package = said.split([':', ',']).next().unwrap_or_default();
    let file = Path::new("/usr/share/doc").join(package).join("copyright");
    ensure!(file.exists(), "{name} is of the package {package}, and there is no {}", file.display());
    Ok(file)
}
