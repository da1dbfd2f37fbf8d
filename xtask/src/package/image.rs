//! The container's image: the program, its linked libraries, CA certificates, and a user.
//!
//! The files are this machine's, so that no base image has to be fetched: `packaging/container/Containerfile` starts
//! from nothing. `package image-test` builds the image by podman and runs it with a read-only root and with the
//! options of `packaging/kubernetes`. Kubernetes' own schemas check the manifests; no cluster is tried.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::Broker;
use serde_json::Value;

use super::stage::{Profile, Stage};
use super::{folder, pristine, sh};
use crate::{setup, step};

/// The user of many images that need none, without a name on the host.
const USER: &str = "65532";

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The path of certificates for Debian's OpenSSL, with which Kafka's client library is linked.
const OF_OPENSSL: &str = "usr/lib/ssl/cert.pem";

const TEST: &str = include_str!("image/test.sh");

const MISTAKES: [(&str, &str); 3] = [
    ("containerPort: 9464", "containerPort: \"9464\""),
    ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
    ("accessModes: [ReadWriteOnce]", "accessModes: ReadWriteOnce"),
];

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
    kolla()?;
    println!("package: config.json has Kolla's shape");
    let python = setup::packaging()?;
    let manifests = step::root().join("packaging/kubernetes/osnl.yaml");
    manifest(&python, &manifests)?;
    setup::podman()?;
    setup::broker_only()?;
    let archive = make(&Stage::make(profile)?)?;
    let broker = Broker::start();
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let image = archive.parent().context("an archive without a folder")?;
    let mut script = Command::new("unshare");
    script.args(["--mount", "--propagation", "private", "sh", "-c"]);
    script.arg(format!("{}\n{TEST}", pristine::COMMON)).args(["sh", &broker.url()]).arg(&manifests);
    script.arg(python.join("bin/python")).arg(port.to_string()).current_dir(image).stdin(Stdio::null());
    step::run(&mut script)?;
    println!("package: the image: all steps passed");
    Ok(ExitCode::SUCCESS)
}

fn manifest(python: &Path, manifests: &Path) -> Result<()> {
    let judge = |path: &Path| {
        let mut validate = Command::new(python.join("bin/kubernetes-validate"));
        validate.args(["--strict", "--quiet"]).arg(path).stdin(Stdio::null());
        validate.output().context("cannot run kubernetes-validate")
    };
    let said = judge(manifests)?;
    ensure!(said.status.success(), "{}: {}", manifests.display(), String::from_utf8_lossy(&said.stderr));
    let text = fs::read_to_string(manifests)?;
    for (words, wrong) in MISTAKES {
        ensure!(text.contains(words), "{} has lost \"{words}\"", manifests.display());
        let path = folder()?.join("mistake.yaml");
        fs::write(&path, text.replacen(words, wrong, 1))?;
        ensure!(!judge(&path)?.status.success(), "the schemas take \"{wrong}\"");
    }
    println!("package: the manifests are Kubernetes', and {} mistakes in them are found", MISTAKES.len());
    Ok(())
}

/// Fails unless kolla's `set_configs.py` could read the file: a command, files with owner and mode, owners of
/// folders.
fn kolla() -> Result<()> {
    let path = step::root().join("packaging/container/config.json");
    let config: Value = serde_json::from_str(&fs::read_to_string(&path)?).context("config.json")?;
    let absolute = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('/'));
    ensure!(config["command"] == "/usr/bin/osnl run", "config.json: command");
    let files = config["config_files"].as_array().context("config.json: config_files")?;
    for file in files {
        let source = file["source"].as_str().unwrap_or_default();
        ensure!(source.starts_with("/var/lib/kolla/config_files/"), "config.json: source {source}");
        ensure!(absolute(&file["dest"]), "config.json: dest of {source}");
        ensure!(file["owner"] == "osnl", "config.json: owner of {source}");
        let mode = file["perm"].as_str().and_then(|mode| u32::from_str_radix(mode, 8).ok());
        ensure!(mode.is_some_and(|mode| mode & 0o077 == 0), "config.json: perm of {source}");
    }
    ensure!(files.iter().any(|file| file["dest"] == "/etc/osnl/osnl.conf"), "config.json: no osnl.conf");
    for place in config["permissions"].as_array().context("config.json: permissions")? {
        ensure!(absolute(&place["path"]) && place["owner"] == "osnl:osnl", "config.json: permissions");
        ensure!(place["recurse"].is_boolean(), "config.json: recurse");
    }
    Ok(())
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
