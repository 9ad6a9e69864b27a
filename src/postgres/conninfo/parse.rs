//! The two forms of a connection string, read as libpq reads them. Errors never repeat a value: it may be a password.

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

/// Parameters in the order in which they were given; of one given twice the last counts.
pub(super) type Pairs = Vec<(String, String)>;

/// Reads a `postgresql://` URL or a `key=value` string.
pub(super) fn parse(text: &str) -> Result<Pairs> {
    match text.split_once("://") {
        Some(("postgresql" | "postgres", rest)) => url(rest),
        _ => words(text),
    }
}

fn unreadable(why: impl Into<String>) -> Error {
    Error::config(format!(
        "the warehouse URL cannot be read: {}; expected postgresql://user:password@host:port/database or key=value words",
        why.into()
    ))
}

/// Reads `key = 'value'` words: a quote or a backslash within quotes is escaped by a backslash.
pub(super) fn words(text: &str) -> Result<Pairs> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let Some(behind) = behind.trim_start().strip_prefix('=') else {
            // What stands here may be the second half of an unquoted password.
            return Err(unreadable(format!("word {} has no \"=\" (a value with blanks is quoted)", pairs.len() + 1)));
        };
        if name.is_empty() {
            return Err(unreadable(format!("word {} has no name", pairs.len() + 1)));
        }
        let (value, behind) = value(name, behind.trim_start())?;
        pairs.push((name.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

/// One value and what stands behind it.
fn value<'a>(name: &str, text: &'a str) -> Result<(String, &'a str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            blank if !quoted && blank.is_whitespace() => return Ok((value, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err(unreadable(format!("the value of {name} has no closing quote"))) } else { Ok((value, "")) }
}

fn url(rest: &str) -> Result<Pairs> {
    let mut pairs = Vec::new();
    let mut give = |name: &str, value: &str| -> Result<()> {
        pairs.push((name.to_owned(), decoded(name, value)?));
        Ok(())
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    // The last one: a password in which nobody encoded an @ is still the password.
    let hosts = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => {
            let (user, password) = credentials.split_once(':').map_or((credentials, None), |(u, p)| (u, Some(p)));
            if !user.is_empty() {
                give("user", user)?;
            }
            if let Some(password) = password.filter(|password| !password.is_empty()) {
                give("password", password)?;
            }
            hosts
        }
        None => authority,
    };
    if !hosts.is_empty() {
        let each = hosts.split(',').map(host_and_port).collect::<Result<Vec<_>>>()?;
        give("host", &each.iter().map(|(host, _)| *host).collect::<Vec<_>>().join(","))?;
        if each.iter().any(|(_, port)| !port.is_empty()) {
            give("port", &each.iter().map(|(_, port)| *port).collect::<Vec<_>>().join(","))?;
        }
    }
    if !database.is_empty() {
        give("dbname", database)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| unreadable("a parameter behind ? has no \"=\""))?;
        let name = decoded("a parameter", name)?;
        match (name.as_str(), value) {
            // As JDBC says it.
            ("ssl", "true") => give("sslmode", "require")?,
            (name, value) => give(name, value)?,
        }
    }
    Ok(pairs)
}

fn host_and_port(text: &str) -> Result<(&str, &str)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, behind) = bracketed.split_once(']').ok_or_else(|| unreadable("a [ has no ]"))?;
        return match behind.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if behind.is_empty() => Ok((host, "")),
            None => Err(unreadable("something other than a port follows ]")),
        };
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

fn decoded(name: &str, text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let stray = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if stray {
        return Err(unreadable(format!("{name} holds a % that begins no %xx (a % itself is %25)")));
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| unreadable(format!("{name} is not UTF-8")))?;
    if text.contains('\0') {
        return Err(unreadable(format!("{name} holds a %00")));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn words_mean_what_libpq_means() {
        for (text, meant) in [
            ("host=h password='a  b'", vec![("host", "h"), ("password", "a  b")]),
            ("host = h  port\t=\n5433", vec![("host", "h"), ("port", "5433")]),
            (r"password='it\'s \\ here' user=u", vec![("password", r"it's \ here"), ("user", "u")]),
            (r"password=a\ b\'c user=u", vec![("password", "a b'c"), ("user", "u")]),
            ("options='-c geqo=off -c jit=off'", vec![("options", "-c geqo=off -c jit=off")]),
            ("password=a=b", vec![("password", "a=b")]),
            ("password='' user=u", vec![("password", ""), ("user", "u")]),
            ("  ", vec![]),
            ("password='é ü'", vec![("password", "é ü")]),
        ] {
            let meant: Vec<_> = meant.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(pairs(text), meant, "{text}");
        }
    }

    #[test]
    fn urls_mean_what_libpq_means() {
        for (text, meant) in [
            ("postgresql://", vec![]),
            ("postgresql://h/db", vec![("host", "h"), ("dbname", "db")]),
            ("postgres://u@h", vec![("user", "u"), ("host", "h")]),
            (
                "postgresql://u:p%40:x@h:1/d",
                vec![("user", "u"), ("password", "p@:x"), ("host", "h"), ("port", "1"), ("dbname", "d")],
            ),
            ("postgresql://u:p@w@h/d", vec![("user", "u"), ("password", "p@w"), ("host", "h"), ("dbname", "d")]),
            ("postgresql://[::1]:5433/d", vec![("host", "::1"), ("port", "5433"), ("dbname", "d")]),
            ("postgresql://a:1,b,c:3/d", vec![("host", "a,b,c"), ("port", "1,,3"), ("dbname", "d")]),
            ("postgresql://%2Frun%2Fpg/d", vec![("host", "/run/pg"), ("dbname", "d")]),
            ("postgresql:///d?host=/run/pg&user=a+b", vec![("dbname", "d"), ("host", "/run/pg"), ("user", "a+b")]),
            ("postgresql://h?ssl=true", vec![("host", "h"), ("sslmode", "require")]),
            ("postgresql://h/?options=-c%20geqo%3Doff", vec![("host", "h"), ("options", "-c geqo=off")]),
        ] {
            let meant: Vec<_> = meant.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(pairs(text), meant, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_a_value() {
        for text in [
            "host=h password=geheim wort",
            "password='geheim",
            "=geheim",
            "geheim",
            "postgresql://u:geheim%zz@h",
            "postgresql://u:geheim%00@h",
            "postgresql://u:geheim@[::1/d",
            "postgresql://u:geheim@[::1]x/d",
            "postgresql://u:geheim@h?sslmode",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind(), "config");
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
    }
}
