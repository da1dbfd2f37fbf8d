use std::fs;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemGroup {
    pub name: String,
    pub gid: u32,
}

impl SystemGroup {
    pub fn find(name: &str) -> Result<Self, String> {
        if let Ok(gid) = name.parse() {
            return Ok(Self { name: name.to_owned(), gid });
        }
        let groups = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
        let rows = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let number = rows.filter(|row| row.first() == Some(&name)).find_map(|row| row.get(2)?.parse().ok());
        match number {
            Some(gid) => Ok(Self { name: name.to_owned(), gid }),
            None => Err(format!("there is no group {name:?} in /etc/group")),
        }
    }
}
