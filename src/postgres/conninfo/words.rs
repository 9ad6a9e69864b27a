//! Every parameter of libpq, and what becomes of it. `docs/connections.md` shows the same table; a test holds them together.

use crate::error::{Error, Result};

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It means what it means in libpq.
    Honoured,
    /// It changes nothing here, and nothing is lost by that.
    Ignored,
    /// What it asks for cannot be given, so the connection is not made.
    Refused,
}

use Treatment::{Honoured, Ignored, Refused};

/// Every parameter up to PostgreSQL 18.
pub(super) const WORDS: &[(&str, Treatment)] = &[
    ("host", Honoured),
    ("hostaddr", Honoured),
    ("port", Honoured),
    ("dbname", Honoured),
    ("user", Honoured),
    ("password", Honoured),
    ("passfile", Honoured),
    ("service", Honoured),
    ("servicefile", Honoured),
    ("connect_timeout", Honoured),
    ("client_encoding", Ignored),
    ("options", Honoured),
    ("application_name", Honoured),
    ("fallback_application_name", Honoured),
    ("keepalives", Honoured),
    ("keepalives_idle", Honoured),
    ("keepalives_interval", Honoured),
    ("keepalives_count", Honoured),
    ("tcp_user_timeout", Honoured),
    ("target_session_attrs", Honoured),
    ("load_balance_hosts", Honoured),
    ("sslmode", Honoured),
    ("sslnegotiation", Honoured),
    ("sslrootcert", Honoured),
    ("sslcert", Honoured),
    ("sslkey", Honoured),
    ("sslcrl", Honoured),
    ("sslsni", Honoured),
    ("sslcertmode", Honoured),
    ("ssl_min_protocol_version", Honoured),
    ("ssl_max_protocol_version", Honoured),
    ("channel_binding", Honoured),
    ("sslcompression", Ignored),
    ("gssencmode", Ignored),
    ("krbsrvname", Ignored),
    ("gsslib", Ignored),
    ("gssdelegation", Ignored),
    ("authtype", Ignored),
    ("tty", Ignored),
    ("min_protocol_version", Ignored),
    ("max_protocol_version", Ignored),
    ("requiressl", Refused),
    ("sslpassword", Refused),
    ("sslcrldir", Refused),
    ("sslkeylogfile", Refused),
    ("requirepeer", Refused),
    ("require_auth", Refused),
    ("replication", Refused),
    ("scram_client_key", Refused),
    ("scram_server_key", Refused),
    ("oauth_issuer", Refused),
    ("oauth_client_id", Refused),
    ("oauth_client_secret", Refused),
    ("oauth_scope", Refused),
];

/// Refuses a parameter that is unknown, that cannot be honoured, or whose value asks for what is not there.
pub(super) fn check(name: &str, value: &str) -> Result<()> {
    let Some((_, treatment)) = WORDS.iter().find(|(word, _)| *word == name) else {
        return Err(Error::config(format!(
            "the warehouse URL has the parameter {name:?}, which PostgreSQL's clients do not know; see docs/connections.md"
        )));
    };
    // Values that ask for nothing are what they are in libpq.
    let asks_nothing = match name {
        "replication" => matches!(value, "" | "false" | "off" | "no" | "0"),
        "requiressl" => matches!(value, "" | "0"),
        _ => value.is_empty(),
    };
    let is_refused = match name {
        "gssencmode" => !matches!(value, "" | "disable" | "prefer"),
        "min_protocol_version" => !matches!(value, "" | "3.0"),
        "max_protocol_version" => !matches!(value, "" | "3.0" | "3.2" | "latest"),
        _ => *treatment == Refused && !asks_nothing,
    };
    if is_refused {
        // Not the value: some of these are secrets.
        return Err(Error::config(format!(
            "the warehouse URL asks for {name}, which is not supported here: leave it out; docs/connections.md says what is"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_shows_this_table() {
        let text = include_str!("../../../docs/connections.md");
        let table = text.split("<!-- parameters -->").nth(1).unwrap().split("<!-- /parameters -->").next().unwrap();
        let mut shown = Vec::new();
        for line in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let treatment = match cells[2] {
                "honoured" => Honoured,
                "ignored" => Ignored,
                "refused" => Refused,
                other => panic!("{other}"),
            };
            shown.extend(cells[1].split(", ").map(|name| (name.trim_matches('`'), treatment)));
            assert!(treatment != Ignored || !cells[3].is_empty(), "{line} says nothing");
        }
        let mut known = WORDS.to_vec();
        known.sort_by_key(|(name, _)| *name);
        shown.sort_by_key(|(name, _)| *name);
        assert_eq!(shown, known);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (name, treatment) in WORDS {
            let outcome = check(name, "geheim");
            match treatment {
                Refused => {
                    let told = outcome.unwrap_err().to_string();
                    assert!(told.contains(name) && !told.contains("geheim"), "{told}");
                    check(name, "").unwrap();
                }
                Honoured => outcome.unwrap(),
                Ignored => {}
            }
        }
        for (name, value, taken) in [
            ("gssencmode", "prefer", true),
            ("gssencmode", "require", false),
            ("client_encoding", "latin1", true),
            ("min_protocol_version", "3.2", false),
            ("max_protocol_version", "latest", true),
            ("replication", "false", true),
            ("replication", "database", false),
            ("sslmoode", "require", false),
        ] {
            assert_eq!(check(name, value).is_ok(), taken, "{name}={value}");
        }
    }
}
