//! PostgreSQL by the distribution's package, from which tests start their own servers. A fresh installation must
//! neither make a cluster nor start one.

use std::path::Path;

use anyhow::Result;

use super::apt;

const BY_HAND: &str = "apt-get install --no-install-recommends postgresql";
const UNITS: &str = "postgresql.service";
const PROGRAMS: &str = "/usr/lib/postgresql";

pub(super) fn ensure() -> Result<()> {
    if is_in(Path::new(PROGRAMS)) {
        return Ok(());
    }
    println!("setup: installing PostgreSQL by package (no server is started)");
    apt::install_unstarted("PostgreSQL", "postgresql", UNITS, BY_HAND)
}

fn is_in(folder: &Path) -> bool {
    let versions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let has_all =
        |bin: &Path| ["initdb", "postgres", "pg_isready", "psql"].iter().all(|name| bin.join(name).exists());
    versions.into_iter().any(|version| has_all(&version.path().join("bin")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_alone_is_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("15/bin");
        assert!(!is_in(&bin));
        std::fs::create_dir_all(&bin).unwrap();
        for (name, complete) in
            [("psql", false), ("pg_isready", false), ("initdb", false), ("postgres", true)]
        {
            std::fs::write(bin.join(name), "").unwrap();
            assert_eq!(is_in(folder.path()), complete, "{name}");
        }
    }
}
