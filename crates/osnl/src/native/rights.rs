//! Checks by owner, group and mode whether another user can read or write a configuration's files. Access control lists
//! are ignored.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use osnl_config::sections::RawSection;
use osnl_config::{ConfigError, Finding};

use super::{JournalConf, LoadedConf, findings};
use crate::action::driver::Probe;

const READ: [&str; 9] = [
    "ca_file",
    "client_certificate",
    "client_key",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "clouds_file",
    "token_file",
    "plugin_config",
];
const WRITTEN: [&str; 2] = ["path", "log_file"];

/// The user that a daemon will run as, to check its rights to files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemUser {
    pub name: String,
    uid: u32,
    groups: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Read = 4,
    Write = 2,
    Enter = 1,
}

impl SystemUser {
    pub fn find(name: &str) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        Self::among(name, &read("/etc/passwd")?, &read("/etc/group").unwrap_or_default())
    }

    fn among(name: &str, users: &str, groups: &str) -> Result<Self, String> {
        let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let number = name.parse::<u32>().ok();
        let is_it = |row: &Vec<String>| {
            row.first().is_some_and(|first| first == name)
                || number.is_some() && row.get(2).and_then(|uid| uid.parse().ok()) == number
        };
        let row = users.lines().map(fields).find(is_it);
        let (known, uid, primary) = match (&row, number) {
            (Some(row), _) => {
                let field = |n: usize| row.get(n).and_then(|text| text.parse::<u32>().ok());
                let (Some(uid), Some(gid)) = (field(2), field(3)) else {
                    return Err(format!("/etc/passwd has no numbers for {name}"));
                };
                (row[0].as_str(), uid, gid)
            }
            (None, Some(uid)) => ("", uid, uid),
            (None, None) => {
                return Err(format!(
                    "there is no user {name} in /etc/passwd; for a user that systemd creates at the start (DynamicUser), name nobody, whose permissions it has, or a number"
                ));
            }
        };
        let member =
            |row: &Vec<String>| row.get(3).is_some_and(|list| list.split(',').any(|one| one == known));
        let more = groups.lines().map(fields).filter(|row| !known.is_empty() && member(row));
        let more = more.filter_map(|row| row.get(2)?.parse().ok());
        let groups = std::iter::once(primary).chain(more).collect();
        Ok(Self { name: name.to_owned(), uid, groups })
    }

    fn may(&self, need: Need, owner: u32, group: u32, mode: u32) -> bool {
        let shift = match (self.uid == owner, self.groups.contains(&group)) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        self.uid == 0 || (mode >> shift) & need as u32 != 0
    }

    fn obstacle(&self, path: &Path, needs: &[Need]) -> Option<String> {
        let place = match fs::canonicalize(path) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound && needs.contains(&Need::Write) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
                return self.obstacle(folder, &[Need::Write, Need::Enter]);
            }
            Err(error) => return Some(error.to_string()),
        };
        let folders = place.ancestors().skip(1).map(|folder| (folder, &[Need::Enter][..]));
        let mut all: Vec<(&Path, &[Need])> = folders.collect();
        all.reverse();
        all.push((&place, needs));
        all.into_iter().find_map(|(part, needs)| {
            let found = fs::metadata(part).ok()?;
            let (owner, group, mode) = (found.uid(), found.gid(), found.mode());
            let lacks = needs.iter().find(|need| !self.may(**need, owner, group, mode))?;
            let word = match lacks {
                Need::Read => "read",
                Need::Write => "write",
                Need::Enter => "enter",
            };
            Some(format!(
                "{} may not {word} {} (owner {owner}, group {group}, mode {:04o})",
                self.name,
                part.display(),
                mode & 0o7777
            ))
        })
    }
}

impl LoadedConf {
    #[must_use]
    pub fn rights_of(&self, user: &SystemUser) -> Vec<Probe> {
        self.rights_with(user, &self.files)
    }

    /// Returns the user of the packages' unit, if it exists and the unit reads the same files.
    #[must_use]
    pub fn user_of_unit(&self) -> Option<SystemUser> {
        let is_of_unit =
            |file: &String| std::path::absolute(file).is_ok_and(|file| file.starts_with("/etc/osnl"));
        if self.files.iter().all(is_of_unit) { SystemUser::find("osnl").ok() } else { None }
    }

    /// Refuses the files that a daemon of this user could not read: its configuration, secrets, and keys.
    #[must_use]
    pub fn unreadable_by(&self, user: &SystemUser) -> Vec<ConfigError> {
        // A token may come later, and a missing key has a refusal of its own.
        let refusal = |path: &Path, finding: &dyn Fn(&str) -> Finding| {
            let path = Some(path).filter(|path| path.exists())?;
            let obstacle = user.obstacle(path, &[Need::Read])?;
            let problem = format!("{} cannot be read: {obstacle}", path.display());
            Some(ConfigError(finding(&problem).allowed("let the user that osnl runs as read it")))
        };
        let files = self
            .files
            .iter()
            .filter_map(|file| refusal(Path::new(file), &|problem| Finding::new(file, problem)));
        let of_section = |section: &RawSection| {
            let text = |option: &str| self.layers.resolve(section, option).ok().flatten();
            let read = files_of(section, text).into_iter().filter(|(_, path, needs)| {
                needs.contains(&Need::Read) && !credentials().is_some_and(|folder| path.starts_with(folder))
            });
            let refused = |(option, path, _): (&str, PathBuf, _)| {
                refusal(&path, &|problem| findings::finding_at(Some(section), option, problem))
            };
            read.filter_map(refused).collect::<Vec<_>>()
        };
        files.chain(self.layers.sections.iter().flat_map(of_section)).collect()
    }

    #[must_use]
    pub fn rights_with(&self, user: &SystemUser, files: &[String]) -> Vec<Probe> {
        let mut probes = Vec::new();
        for file in files {
            probes.push(probe(user, "configuration", Path::new(file), &[Need::Read]));
        }
        for section in &self.layers.sections {
            for (_, path, needs) in
                files_of(section, |option| self.layers.resolve(section, option).ok().flatten())
            {
                probes.push(probe(user, &section.heading(), &path, needs));
            }
        }
        if let JournalConf::Sqlite(options) = &self.conf.journal {
            probes.push(probe(user, "journal", &options.path, &[Need::Read, Need::Write]));
        }
        probes
    }
}

/// systemd gives the daemon such files, whoever owns them.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

type NeededFile<'a> = (&'a str, PathBuf, &'static [Need]);

fn files_of(section: &RawSection, text: impl Fn(&str) -> Option<String>) -> Vec<NeededFile<'_>> {
    let mut files: Vec<NeededFile<'_>> = Vec::new();
    for entry in &section.entries {
        let option = entry.option.as_str();
        if let Some(file) = &entry.file {
            files.push((option, file.path.clone(), &[Need::Read]));
        } else if READ.contains(&option) {
            let paths = text(option).unwrap_or_default();
            files
                .extend(paths.split(',').map(|path| (option, PathBuf::from(path.trim()), &[Need::Read][..])));
        } else if WRITTEN.contains(&option) {
            files.extend(text(option).map(|path| (option, PathBuf::from(path), &[Need::Write][..])));
        }
    }
    files.retain(|(_, path, _)| path.is_absolute());
    files
}

fn probe(user: &SystemUser, section: &str, path: &Path, needs: &[Need]) -> Probe {
    let what = if needs.contains(&Need::Write) { "writes" } else { "reads" };
    let probe = Probe::new(section, format!("{} {what} {}", user.name, path.display()));
    match user.obstacle(path, needs) {
        None => probe.fine("may, by owner, group and mode"),
        Some(obstacle) => {
            let advice = "give it that right, or hand secrets over with LoadCredential= of systemd";
            probe.failed(obstacle, Some(advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const USERS: &str = "root:x:0:0::/:/bin/sh\nosnl:x:4711:4712::/:/bin/sh\n";
    const GROUPS: &str = "osnl:x:4712:\ncerts:x:4713:other,osnl\n";

    #[test]
    fn a_user_is_found_with_its_groups_or_by_number() {
        let osnl = SystemUser { name: "osnl".to_owned(), uid: 4711, groups: vec![4712, 4713] };
        assert_eq!(SystemUser::among("osnl", USERS, GROUPS), Ok(osnl.clone()));
        assert_eq!(
            SystemUser::among("4711", USERS, GROUPS),
            Ok(SystemUser { name: "4711".to_owned(), ..osnl })
        );
        let unknown = SystemUser { name: "65000".to_owned(), uid: 65_000, groups: vec![65_000] };
        assert_eq!(SystemUser::among("65000", USERS, GROUPS), Ok(unknown));
        assert!(SystemUser::among("nope", USERS, GROUPS).is_err_and(|why| why.contains("no user nope")));
    }

    #[test]
    fn owner_group_and_others_have_their_own_bits() {
        let user = SystemUser::among("osnl", USERS, GROUPS).unwrap();
        for (owner, group, mode, may) in [
            (4711, 0, 0o400, true),
            (4711, 4712, 0o044, false),
            (0, 4713, 0o040, true),
            (0, 4713, 0o604, false),
            (0, 0, 0o604, true),
            (0, 0, 0o640, false),
        ] {
            assert_eq!(user.may(Need::Read, owner, group, mode), may, "{owner} {group} {mode:o}");
        }
        assert!(SystemUser::among("root", USERS, GROUPS).unwrap().may(Need::Read, 1, 1, 0));
    }

    #[test]
    fn a_daemon_of_another_user_is_refused_what_it_could_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let (conf, secret) = (folder.path().join("osnl.conf"), folder.path().join("nova.url"));
        fs::write(&secret, "rabbit://osnl:secret@mq/\n").unwrap();
        let text = format!(
            "[listener:nova]\ntransport_url = file://{}\nexchange = nova\npool = osnl\n[rule:r]\nactions = a\n\
             [action:a]\ndriver = dump\npath = /nowhere/else\n",
            secret.display()
        );
        fs::write(&conf, text).unwrap();
        let sources = crate::native::Sources { files: vec![conf.clone()], ..Default::default() };
        let loaded = crate::native::load(&sources).unwrap();
        let user = SystemUser { name: "osnl".to_owned(), uid: 4711, groups: vec![4712] };
        mode(folder.path(), 0o755);
        mode(&conf, 0o644);
        mode(&secret, 0o600);
        let refused: Vec<String> = loaded.unreadable_by(&user).iter().map(ToString::to_string).collect();
        let [refused] = &refused[..] else { panic!("{refused:?}") };
        let begin = format!(
            "{}:2: [listener:nova] transport_url: {secret} cannot be read: osnl may not read {secret} (owner ",
            conf.display(),
            secret = secret.display()
        );
        let end = "mode 0600); let the user that osnl runs as read it";
        assert!(refused.starts_with(&begin) && refused.ends_with(end), "{refused}");
        mode(&secret, 0o644);
        assert_eq!(loaded.unreadable_by(&user).len(), 0);
        mode(folder.path(), 0o700);
        assert_eq!(loaded.unreadable_by(&user).len(), 2, "neither the configuration nor the secret");
    }

    #[test]
    fn every_folder_on_the_way_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("inner"), folder.path().join("inner/secret"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "x").unwrap();
        let mode =
            |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let user = SystemUser { name: "osnl".to_owned(), uid: 4711, groups: vec![4712] };
        mode(folder.path(), 0o755);
        mode(&inner, 0o700);
        mode(&file, 0o644);
        let why = user.obstacle(&file, &[Need::Read]).unwrap();
        assert!(why.starts_with("osnl may not enter ") && why.contains("inner (owner"), "{why}");
        mode(&inner, 0o755);
        assert_eq!(user.obstacle(&file, &[Need::Read]), None);
        mode(&file, 0o600);
        assert!(user.obstacle(&file, &[Need::Read]).unwrap().contains("may not read"));
        let new = inner.join("journal.db");
        assert!(user.obstacle(&new, &[Need::Write]).unwrap().contains("may not write"));
        mode(&inner, 0o777);
        assert_eq!(user.obstacle(&new, &[Need::Write]), None);
    }
}
