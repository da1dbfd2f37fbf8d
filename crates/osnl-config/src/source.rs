use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::Finding;
use super::size;

/// The reasons for which a file of a configuration cannot be read.
#[derive(Debug)]
pub enum ReadError {
    Missing,
    NotRegular,
    Unreadable(io::Error),
    NotUtf8(u32),
    TooLarge,
}

/// The most bytes of a configuration file: a value takes many times its length while it is checked.
pub const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// The reasons for which a file cannot be read as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RegularFileError {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("is not a regular file")]
    NotRegular,
    #[error("holds more than {}", size::shown(*.0))]
    TooLarge(u64),
}

impl ReadError {
    #[must_use]
    pub fn finding(&self, file: &str) -> Finding {
        match self {
            Self::Missing => {
                Finding::new(file, "there is no such file").allowed("create it, or name another one")
            }
            Self::NotRegular => Finding::new(file, "is not a regular file")
                .allowed("name a file, or a folder of files with --config-dir"),
            Self::Unreadable(error) => {
                Finding::new(file, format!("cannot be read: {error}")).allowed(read_remedy(error))
            }
            Self::TooLarge => Finding::new(file, "holds more than 16 MiB")
                .allowed("name a configuration file, or divide it into several of a --config-dir"),
            Self::NotUtf8(line) => {
                Finding::at(file, *line, "the line is not UTF-8").allowed("save the file as UTF-8")
            }
        }
    }
}

pub fn folder_finding(folder: &Path, error: &io::Error) -> Finding {
    let problem = format!("the folder cannot be read: {error}");
    Finding::new(&folder.display().to_string(), problem).allowed(read_remedy(error))
}

/// Returns the remedy if a file or a folder cannot be read.
#[must_use]
pub fn read_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create it, or name another one",
        io::ErrorKind::PermissionDenied => {
            "run this command as root or as the daemon's user, or let this user read it"
        }
        io::ErrorKind::NotADirectory => "a folder of this path is a file: name another one",
        // Such as links in a circle, or a failing disk.
        _ => "correct the path, or name another one",
    }
}

/// Returns the bytes of a file that has `most` bytes at most. The open of a pipe would block, and a device may have no end.
pub fn read_regular(path: &Path, most: u64) -> Result<Vec<u8>, RegularFileError> {
    if !fs::metadata(path)?.is_file() {
        return Err(RegularFileError::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(RegularFileError::TooLarge(most)) } else { Ok(bytes) }
}

pub fn read_text(path: &Path) -> Result<String, ReadError> {
    let bytes = read_regular(path, LARGEST_FILE).map_err(|error| match error {
        RegularFileError::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => ReadError::Missing,
        RegularFileError::Unreadable(error) => ReadError::Unreadable(error),
        RegularFileError::NotRegular => ReadError::NotRegular,
        RegularFileError::TooLarge(_) => ReadError::TooLarge,
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        ReadError::NotUtf8(u32::try_from(line).unwrap_or(u32::MAX))
    })
}

/// Returns `*.conf` of a folder, sorted by name, without hidden files, as oslo.config reads a `--config-dir`.
pub fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let listed = name.to_str().is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.'));
        if listed {
            files.push(folder.join(name));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_that_of_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let (circle, file) = (folder.path().join("circle"), folder.path().join("file"));
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        fs::write(&file, "").unwrap();
        for (path, expected) in [
            (circle, "; correct the path, or name another one"),
            (file.join("a.conf"), "; a folder of this path is a file: name another one"),
            (folder.path().join("none"), "; create it, or name another one"),
        ] {
            let text = read_text(&path).unwrap_err().finding("a.conf").to_string();
            assert!(text.ends_with(expected), "{text}");
        }
        let denied =
            ReadError::Unreadable(io::ErrorKind::PermissionDenied.into()).finding("a.conf").to_string();
        let remedy = "; run this command as root or as the daemon's user, or let this user read it";
        assert!(denied.ends_with(remedy), "{denied}");
    }

    #[test]
    fn a_file_of_more_than_16_mib_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        let file = File::create(&path).unwrap();
        file.set_len(LARGEST_FILE).unwrap();
        assert!(read_text(&path).is_ok());
        file.set_len(1 << 40).unwrap();
        let said = read_text(&path).unwrap_err().finding("a.conf").to_string();
        assert!(said.starts_with("a.conf: holds more than 16 MiB; name a configuration file"), "{said}");
    }

    #[test]
    fn only_a_regular_file_of_a_bounded_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, pipe) = (folder.path().join("four"), folder.path().join("pipe"));
        fs::write(&path, "four").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_regular(&path, 4).unwrap(), b"four");
        assert_eq!(read_regular(&path, 3).unwrap_err().to_string(), "holds more than 3 B");
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_regular(path, 4).unwrap_err().to_string(), "is not a regular file");
        }
    }

    #[test]
    fn a_folder_gives_its_conf_files_sorted_by_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["9.conf", "10.conf", "Z.conf", "a.conf", ".h.conf", "a.conf~", "b.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let files = files_of(folder.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["10.conf", "9.conf", "Z.conf", "a.conf"]);
        assert!(files_of(&folder.path().join("a.conf")).is_err());
    }
}
