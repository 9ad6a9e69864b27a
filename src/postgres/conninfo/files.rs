//! Files of libpq's: passwords and services.

use std::fs;
use std::path::{Path, PathBuf};

use super::parse::Pairs;
use crate::error::{Error, Result};

/// What a password is looked up for.
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: &'a str,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The file in the home folder, if there is a home folder.
pub(super) fn home(name: &str) -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join(name))
}

/// The value of an environment variable that is set and not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The password that a file has for a login.
///
/// # Errors
/// A reason, for the case that the server asks for a password: the file may be read by others, and so is not used.
pub(super) fn password(file: &Path, login: &Login<'_>) -> std::result::Result<Option<String>, String> {
    let Ok(about) = fs::metadata(file).as_ref().map(|about| (about.is_file(), is_open(about))) else { return Ok(None) };
    match about {
        (false, _) => return Err(format!("{} is no plain file and was not read", file.display())),
        (_, true) => return Err(format!("{} was not read, because others may read it: chmod 600", file.display())),
        _ => {}
    }
    let text = fs::read_to_string(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    Ok(text.lines().find_map(|line| matching(line, login)))
}

#[cfg(unix)]
fn is_open(about: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open(_: &fs::Metadata) -> bool {
    false
}

/// The password of a line `host:port:database:user:password`, if it speaks of the login.
fn matching(line: &str, login: &Login<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for wanted in [login.host, login.port, login.database, login.user] {
        let (field, behind) = field(rest)?;
        // A star that is escaped is a star.
        if rest.strip_prefix('*').is_none_or(|tail| !tail.starts_with(':')) && field != wanted {
            return None;
        }
        rest = behind;
    }
    let password = field(&format!("{rest}:")).map(|(password, _)| password)?;
    (!password.is_empty()).then_some(password)
}

/// A field, its escapes undone, and what stands behind its colon.
fn field(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// The parameters of a service.
///
/// # Errors
/// `Config` when no file has the service, or its part cannot be read.
pub(super) fn service(name: &str, own_file: Option<&str>) -> Result<Pairs> {
    let mut files: Vec<PathBuf> = Vec::new();
    match own_file.map(str::to_owned).or_else(|| variable("PGSERVICEFILE")) {
        Some(file) => files.push(file.into()),
        None => files.extend(home(".pg_service.conf")),
    }
    let system = variable("PGSYSCONFDIR").unwrap_or_else(|| "/etc/postgresql-common".to_owned());
    files.push(Path::new(&system).join("pg_service.conf"));
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        if let Some(pairs) = part(&text, name, file)? {
            return Ok(pairs);
        }
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Error::config(format!("service {name} is in none of {}", files.join(", "))))
}

/// The part of a service file that has the name.
fn part(text: &str, name: &str, file: &Path) -> Result<Option<Pairs>> {
    let mut found: Option<Pairs> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            if found.is_some() {
                break;
            }
            found = (title.0 == name).then(Vec::new);
            continue;
        }
        let Some(pairs) = found.as_mut() else { continue };
        let at = |what: &str| {
            Error::config(format!("line {} of service {name} {what}", number + 1)).with("file", file.display())
        };
        let (key, value) =
            line.split_once('=').ok_or_else(|| at("has no \"=\" (services of LDAP are not known here)"))?;
        if key == "service" || key == "servicefile" {
            return Err(at("names another service"));
        }
        pairs.push((key.trim_end().to_owned(), value.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_by_the_first_line_that_speaks_of_the_login() {
        let login = Login { host: "db.example", port: "5432", database: "dwh", user: "li:sa" };
        for (line, meant) in [
            (r"db.example:5432:dwh:li\:sa:secret", Some("secret")),
            (r"*:*:*:*:se\:cr\\et", Some(r"se:cr\et")),
            (r"*:*:*:*:se:rest", Some("se")),
            (r"\*:*:*:*:secret", None),
            (r"other:5432:dwh:li\:sa:secret", None),
            ("# *:*:*:*:secret", None),
            ("*:*:*", None),
            ("*:*:*:*:", None),
        ] {
            assert_eq!(matching(line, &login).as_deref(), meant, "{line}");
        }
    }

    #[test]
    fn a_password_file_that_others_may_read_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        fs::write(&file, "# ours\nh:1:d:u:first\n*:*:*:*:second\n").unwrap();
        let login = Login { host: "h", port: "1", database: "d", user: "u" };
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(password(&file, &login).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(&file, &login).unwrap().as_deref(), Some("first"));
        assert_eq!(password(&file, &Login { port: "2", ..login }).unwrap().as_deref(), Some("second"));
        assert_eq!(
            password(&folder.path().join("none"), &Login { host: "h", port: "1", database: "d", user: "u" }),
            Ok(None)
        );
    }

    #[test]
    fn a_service_is_a_part_of_its_file() {
        let text =
            "# all\n[a]\nhost=h1\n\n[b]\n host=h2\nport=5433\noptions=-c geqo=off\n[c]\nnonsense\n[d]\nservice=a\n";
        let read = |name| part(text, name, Path::new("services"));
        let pairs =
            |list: &[(&str, &str)]| Some(list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        assert_eq!(read("a").unwrap(), pairs(&[("host", "h1")]));
        assert_eq!(read("b").unwrap(), pairs(&[("host", "h2"), ("port", "5433"), ("options", "-c geqo=off")]));
        assert_eq!(read("none").unwrap(), None);
        assert!(read("c").unwrap_err().to_string().contains("line 10"));
        assert!(read("d").is_err());
    }
}
