//! The container's image: the program, its linked libraries, CA certificates, and a user.
//!
//! The files are this machine's, so that no base image has to be fetched: `packaging/container/Containerfile` starts
//! from nothing. podman makes the archive of a release. `package image-test` loads the archive, and runs the image with a
//! read-only root and with the options of the chart in `packaging/helm`; no cluster is tried.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use osnl_testkit::Broker;

use super::origin::{Origin, released};
use super::stage::Stage;
use super::{FEATURES, PROGRAM, folder, licences, pristine, sh, version};
use crate::{setup, step};

/// The user of many images that need none, without a name on the host.
const USER: &str = "65532";

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const LICENCE_OF_CERTIFICATES: &str = "/usr/share/doc/ca-certificates/copyright";

/// The path of certificates for Debian's OpenSSL, with which Kafka's client library is linked.
const OF_OPENSSL: &str = "usr/lib/ssl/cert.pem";

const TEST: &str = include_str!("image/test.sh");

const PODMAN: &str = r#"podman() {
    command podman --root "$PWD/podman/root" --runroot "$PWD/podman/run" --storage-driver vfs --cgroup-manager cgroupfs "$@"
}"#;

/// OCI's format has no health check, and podman 4.3 loads no compressed archive.
const SAVE: &str = r#"
    podman build --quiet --format docker --isolation chroot --timestamp "$SOURCE_DATE_EPOCH" --tag "osnl:$2" . > /dev/null
    rm -f "$1"
    podman save --quiet --format docker-archive --output "$1" "osnl:$2"
    podman rmi --force --all > /dev/null"#;

const ENDING: &str = ".docker.tar";

/// Renders the chart with the listener nova of an example.
const RENDER: &str = r#"
import sys, helm_python, yaml
values = yaml.safe_load(open(sys.argv[2]))
values["listeners"] = {"nova": values["listeners"]["nova"]}
values["image"] = {"repository": "osnl"}
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
    for path in [CERTIFICATES, LICENCE_OF_CERTIFICATES] {
        copy(Path::new(path), &root.join(&path[1..]), 0o644)?;
    }
    let openssl = root.join(OF_OPENSSL);
    fs::create_dir_all(openssl.parent().unwrap_or(&root))?;
    symlink(CERTIFICATES, &openssl)?;
    file(&root.join("etc/passwd"), &format!("osnl:x:{USER}:{USER}::/var/lib/osnl:/nonexistent\n"))?;
    file(&root.join("etc/group"), &format!("osnl:x:{USER}:\n"))?;
    let packaging = step::root().join("packaging");
    copy(&packaging.join("etc/osnl.conf"), &root.join("etc/osnl/osnl.conf"), 0o644)?;
    let third_party = licences::text(PROGRAM, FEATURES)?;
    file(&root.join("usr/share/doc/osnl/THIRD-PARTY.txt"), &third_party)?;
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

/// Returns an archive that `podman load` and `docker load` read, made of an image's folder with the given `rootfs.tar`.
pub(super) fn archive(rootfs: &Path) -> Result<PathBuf> {
    setup::podman()?;
    let image = rootfs.parent().context("an archive without a folder")?;
    let version = version()?;
    let archive = folder()?.join(format!("osnl-{version}.{}{ENDING}", std::env::consts::ARCH));
    sh(image, &format!("{PODMAN}{SAVE}"), &[&archive.display().to_string(), &version])?;
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
    let (origin, others) = Origin::parse(flags)?;
    ensure!(others.is_empty(), "{}: allowed are --release, --candidate", others.join(" "));
    let python = setup::on_ramps()?.join("bin/python");
    let manifests = folder()?.join("manifests.yaml");
    let mut render = Command::new(&python);
    render.args(["-c", RENDER]).args(["osnl", "examples/openstack-helm.yaml"]);
    fs::write(&manifests, step::output(render.current_dir(step::root().join("packaging/helm")))?)?;
    setup::podman()?;
    setup::broker_only()?;
    let archive = match origin {
        Origin::Build(profile) => archive(&make(&Stage::make(profile)?)?)?,
        Origin::Candidate => {
            let mut files = released()?.into_iter();
            files.find(|file| file.to_string_lossy().ends_with(ENDING)).context("the release has no image")?
        }
    };
    let broker = Broker::start();
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let work = folder()?.join("image-test");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let mut script = Command::new("unshare");
    script.args(["--mount", "--propagation", "private", "sh", "-c"]);
    script.arg(format!("{}\n{PODMAN}\n{TEST}", pristine::COMMON)).args(["sh", &broker.url()]).arg(&manifests);
    script.arg(&python).arg(port.to_string()).arg(&archive).current_dir(work).stdin(Stdio::null());
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
