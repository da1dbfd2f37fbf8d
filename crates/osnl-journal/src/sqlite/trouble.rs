use std::io;

use rusqlite::{Error, ErrorCode};

pub(super) fn io_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotADirectory => "a folder of this path is a file: name another one",
        io::ErrorKind::IsADirectory => "move that folder away, or name another file",
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount its file system writable, or name a journal on another one, such as a copy with its -wal"
        }
        _ => "give this user write access to the file and its folder",
    }
}

/// Whether the file cannot be what SQLite wrote.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub(super) fn reason(error: &Error) -> String {
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    let todo = match error.sqlite_error_code() {
        // SQLite reports a file-size limit and a failing disk alike.
        Some(ErrorCode::SystemIoFailure) if extended == rusqlite::ffi::SQLITE_IOERR_WRITE => {
            "raise the limit on the size of files, if there is one (LimitFSIZE=, ulimit -f); else look at the file \
             system and the kernel's log"
        }
        // The index of the WAL is a file that is created when the journal is opened.
        Some(ErrorCode::SystemIoFailure) if extended == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
            "make room on its file system, or raise its limit"
        }
        Some(ErrorCode::DiskFull) => "make room on its file system, or raise its limit",
        Some(ErrorCode::ReadOnly) => {
            "mount the file system writable, and give this user write access to the file and its folder"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "give this user write access to the file and its folder"
        }
        Some(ErrorCode::SystemIoFailure) => "look at the file system and the kernel's log",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the file is damaged: stop osnl, keep a copy of it with its -wal, and move it away; \
             `sqlite3 FILE .recover` reads what is left of it"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds it: end that one, or let it finish"
        }
        _ => "look at the file system and the kernel's log",
    };
    format!("{error}; {todo}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_says_what_to_do() {
        let check = |code: i32, expected: &str| {
            let error = Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let said = reason(&error);
            assert!(said.contains(expected), "{code}: {said}");
        };
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        assert!(io_remedy(&read_only).starts_with("mount its file system writable"), "{read_only}");
        check(rusqlite::ffi::SQLITE_FULL, "make room");
        check(rusqlite::ffi::SQLITE_IOERR_SHMSIZE, "make room");
        check(rusqlite::ffi::SQLITE_READONLY, "writable");
        check(rusqlite::ffi::SQLITE_CANTOPEN, "give this user write access");
        check(rusqlite::ffi::SQLITE_IOERR_FSYNC, "kernel's log");
        check(rusqlite::ffi::SQLITE_IOERR_WRITE, "LimitFSIZE=, ulimit -f); else look at the file system");
        check(rusqlite::ffi::SQLITE_CORRUPT, ".recover");
        check(rusqlite::ffi::SQLITE_BUSY, "another program");
    }
}
