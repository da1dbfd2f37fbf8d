use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Debug)]
pub(crate) struct Disk {
    place: PathBuf,
}

impl Disk {
    pub(crate) fn mount(place: &Path, megabytes: u32, owner: Option<(u32, u32)>) -> Result<Self, String> {
        let mut options = format!("size={megabytes}m,mode=0700");
        if let Some((user, group)) = owner {
            options += &format!(",uid={user},gid={group}");
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "osnl-test"]).arg(place).stdin(Stdio::null());
        let done = mount.output().map_err(|error| format!("mount: {error}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned());
        }
        Ok(Self { place: place.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    pub(crate) fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let mut piece = vec![0; 1 << 20];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        let _ = unmount.arg("-l").arg(&self.place).stdin(Stdio::null()).stderr(Stdio::null()).status();
    }
}
