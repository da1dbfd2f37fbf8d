/// Returns the login name; under sudo the caller's name, and the user that the command runs as.
pub(in crate::command) fn asks() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    describe(uid, &users, std::env::var("SUDO_USER").ok().as_deref())
}

fn describe(uid: u32, users: &str, sudo: Option<&str>) -> String {
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let own = named.unwrap_or_else(|| format!("user {uid}"));
    match sudo.filter(|name| !name.is_empty() && *name != own && uid == 0) {
        Some(name) => format!("{name} (as {own})"),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_machine() {
        let users = "root:x:0:0:root:/root:/bin/sh\neve:x:1000:1000::/srv/eve:/bin/sh\nbroken\n";
        for (uid, sudo, expected) in [
            (0, None, "root"),
            (0, Some("eve"), "eve (as root)"),
            (0, Some("root"), "root"),
            (1000, Some("bob"), "eve"),
            (7, None, "user 7"),
        ] {
            assert_eq!(describe(uid, users, sudo), expected);
        }
    }
}
