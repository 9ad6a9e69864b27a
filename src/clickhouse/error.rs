//! ClickHouse's errors as ours: by code, without secrets, retryable or not.
#![allow(clippy::wildcard_enum_match_arm, reason = "other crates' errors and kinds may grow")]

use std::error::Error as StdError;
use std::io::ErrorKind;

use clickhouse::error::Error as ClientError;

use crate::error::{Error, io_kind};

/// Codes that say who may log in and what they may see: a setting is wrong.
const ACCESS: [u32; 10] = [81, 192, 193, 194, 195, 291, 492, 497, 516, 164];
/// Codes of load, time and network: the same call may succeed later.
const PASSING: [u32; 22] =
    [3, 32, 95, 101, 159, 160, 198, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 319, 394, 425, 473, 999];
/// Simultaneous queries: refused before anything is done.
const TOO_MANY: u32 = 202;
/// How much of a server's message is kept.
const MESSAGE_CHARS: usize = 600;

/// An error of the client, told with where the server is and what was asked of it.
pub(super) fn client_error(error: ClientError, server: &str, asked: &str) -> Error {
    match error {
        ClientError::BadResponse(text) => refused(&text, server, asked),
        ClientError::TimedOut => unreachable(server, "it did not answer in time"),
        ClientError::Network(cause) => {
            let root = root_cause(cause.as_ref());
            unreachable(server, &root).because(cause)
        }
        other => Error::database(format!("ClickHouse at {server} gave an answer that cannot be read: {other}"))
            .with("server", server)
            .because(other),
    }
}

/// An error for a server that cannot be reached or does not answer.
pub(super) fn unreachable(server: &str, why: &str) -> Error {
    Error::database(format!("ClickHouse at {server} cannot be reached: {why}")).with("server", server)
}

/// Whether the server never got to a request: nobody listened, or it had no place for one more. So it may be sent again,
/// whatever it asks.
pub(super) fn is_unheard(error: &Error) -> bool {
    let is_full = error.detail().context.get("code").is_some_and(|code| *code == TOO_MANY.to_string());
    is_full || io_kind(error) == Some(ErrorKind::ConnectionRefused)
}

/// The code of a server's error: `Code: 60. DB::Exception: ...` or, before version 20, `Code: 60, e.displayText() = ...`.
fn code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

fn refused(text: &str, server: &str, asked: &str) -> Error {
    let message = clause(text);
    let Some(code) = code(text) else {
        return Error::database(format!("ClickHouse at {server} refused: {message}")).with("server", server);
    };
    let error = if ACCESS.contains(&code) {
        Error::config(format!("ClickHouse at {server} refuses access: {message}"))
    } else {
        Error::database(format!("ClickHouse refused to {asked}: {message}")).retryable(PASSING.contains(&code))
    };
    error.with("code", code).with("server", server)
}

/// A server's message as one line: no code, no version, no stack.
fn clause(text: &str) -> String {
    let body = text.split_once("DB::Exception: ").map_or(text, |(_, rest)| rest);
    let body = body.split("Stack trace:").next().unwrap_or(body);
    let body = body.split(" (version ").next().unwrap_or(body);
    let body = body.split(", e.what() =").next().unwrap_or(body);
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > MESSAGE_CHARS {
        line.chars().take(MESSAGE_CHARS).chain("...".chars()).collect()
    } else {
        line
    }
}

fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str =
        "Code: 60, e.displayText() = DB::Exception: Table default.x doesn't exist., e.what() = DB::Exception";
    const NEW: &str =
        "Code: 60. DB::Exception: Table default.x doesn't exist. (UNKNOWN_TABLE) (version 26.9.2.1 (official build))";

    fn of(text: &str) -> Error {
        client_error(ClientError::BadResponse(text.into()), "http://mart:8123", "run the query")
    }

    #[test]
    fn both_forms_of_a_servers_error_are_read() {
        for text in [OLD, NEW] {
            let error = of(text);
            assert_eq!((error.kind(), error.is_retryable()), ("database", false));
            assert_eq!(error.detail().context["code"], "60");
            assert!(
                error.to_string().starts_with("ClickHouse refused to run the query: Table default.x doesn't exist."),
                "{error}"
            );
            assert!(!error.to_string().contains("version"));
        }
    }

    #[test]
    fn overload_is_retryable_and_access_is_a_setting() {
        assert!(of("Code: 241. DB::Exception: Memory limit exceeded").is_retryable());
        assert!(of("503 Service Unavailable").is_retryable());
        assert!(is_unheard(&of("Code: 202. DB::Exception: Too many simultaneous queries")));
        assert!(!is_unheard(&of("Code: 241. DB::Exception: Memory limit exceeded")));
        let access =
            of("Code: 193, e.displayText() = DB::Exception: Wrong password for user loader, e.what() = DB::Exception");
        assert_eq!((access.kind(), access.is_retryable()), ("config", false));
        let down = std::io::Error::from(ErrorKind::ConnectionRefused);
        assert!(is_unheard(&client_error(ClientError::Network(down.into()), "http://mart:8123", "insert rows")));
        let cut = std::io::Error::from(ErrorKind::ConnectionReset);
        assert!(!is_unheard(&client_error(ClientError::Network(cut.into()), "http://mart:8123", "insert rows")));
        let gone = client_error(ClientError::Network("connection refused".into()), "http://mart:8123", "run the query");
        assert!(gone.is_retryable());
        assert_eq!(gone.to_string(), "ClickHouse at http://mart:8123 cannot be reached: connection refused");
    }
}
