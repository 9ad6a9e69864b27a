//! One file of a web server, whole.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use tempfile::TempPath;
use url::Url;

use super::bytes_left::BytesLeft;
use super::failure::Scrub;
use super::open::stoppable;
use super::spooled::Spooled;
use crate::backoff::retrying;
use crate::control::Cancel;
use crate::error::{Error, Result, with_causes};

/// How long a web server may be silent, and how long it may take in all.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(3600);

/// A web server's file and how it is shown: without its query, which may hold a key.
struct Download<'a> {
    url: Url,
    shown: &'a str,
    scrub: Scrub,
    spool: Option<&'a Path>,
}

/// Why a download failed, and whether it may come through when it is asked for again at once.
struct Failed {
    error: Error,
    passes: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, passes: false }
    }
}

/// Fetches what a web server has under an address into a file of `spool`. The server need not say how long it is. An answer
/// that breaks off is asked for again from its beginning, a few times.
///
/// # Errors
/// `Config` for an address that is none; `NotFound` when nothing is there; `Data` when it is more than is copied; `Storage` for
/// a server that refuses, breaks off or falls silent.
pub(super) async fn download(address: &str, shown: &str, spool: Option<&Path>, cancel: &Cancel) -> Result<TempPath> {
    let url = Url::parse(address).map_err(|e| Error::config(format!("the source is no URL: {e}")))?;
    let secrets: Vec<String> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let scrub = Scrub::new(secrets.iter().map(String::as_str).chain(url.password()));
    let client = Client::builder()
        .user_agent(concat!("metropulse/", env!("CARGO_PKG_VERSION")))
        .read_timeout(LONGEST_SILENCE)
        .timeout(LONGEST_DOWNLOAD)
        .build()
        .map_err(|e| Error::config(format!("no client can be made: {}", with_causes(&e))))?;
    let wanted = Download { url, shown, scrub, spool };
    let got = stoppable(cancel, retrying(|failed: &Failed| failed.passes, || wanted.attempt(&client))).await?;
    got.map_err(|failed| failed.error)
}

impl Download<'_> {
    async fn attempt(&self, client: &Client) -> std::result::Result<TempPath, Failed> {
        let response = client.get(self.url.clone()).send().await.map_err(|e| self.broke_off(e))?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response.status()));
        }
        self.copy(response).await
    }

    async fn copy(&self, mut response: Response) -> std::result::Result<TempPath, Failed> {
        BytesLeft::default().take(response.content_length().unwrap_or_default(), self.shown)?;
        let (mut file, mut left) = (Spooled::begin(self.spool, "")?, BytesLeft::default());
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broke_off(e))? {
            left.take(chunk.len() as u64, self.shown)?;
            file.write(&chunk)?;
        }
        Ok(file.end()?)
    }

    /// A server that is not reached, or whose answer ends early.
    fn broke_off(&self, error: reqwest::Error) -> Failed {
        let is_timeout = error.is_timeout();
        let why = if is_timeout {
            format!("the server was silent for {LONGEST_SILENCE:?} or took longer than {LONGEST_DOWNLOAD:?}")
        } else {
            self.scrub.text(&with_causes(&error.without_url()))
        };
        let error = Error::storage(format!("reading {} failed: {why}", self.shown));
        Failed { error: error.with("source", self.shown), passes: !is_timeout }
    }

    fn refused(&self, status: StatusCode) -> Failed {
        let shown = self.shown;
        let passes =
            status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let error = match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Error::not_found(format!("reading: {shown} is not there ({status})"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::storage(format!("reading: the server refuses {shown} ({status}); check the key in its address"))
                    .retryable(false)
            }
            _ => Error::storage(format!("reading {shown} failed: the server answers {status}, expected 200 OK"))
                .retryable(passes),
        };
        Failed { error: error.with("source", shown), passes }
    }
}
