//! One feed, asked over HTTP.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};

use super::index::{Became, Feed, Poll};
use super::secrets::{Secrets, Values, shown};
use crate::config::Secret;
use crate::error::{Error, Result, with_causes};
use crate::feeds::realtime::LARGEST_BYTES;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;

/// A feed and how it is asked.
#[derive(Debug)]
pub struct Source {
    feed: Feed,
    url: Secret,
    headers: Vec<(HeaderName, Secret)>,
    secrets: Secrets,
    client: Client,
    known: Known,
}

/// What is known of the last answer, by which the next one is found unchanged.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub(super) etag: Option<HeaderValue>,
    pub(super) last_modified: Option<HeaderValue>,
    /// The digest of the message.
    pub(super) digest: Option<[u8; 32]>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// The line of the index so far.
    pub(super) poll: Poll,
    /// The body of an answer that is whole.
    pub(super) body: Option<Bytes>,
    pub(super) is_gzip: bool,
    /// What the answer says of itself.
    pub(super) says: Known,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Source {
    /// A feed at a URL. URL and the values of headers may hold `${NAME}`.
    ///
    /// # Errors
    /// `Config` for a malformed URL or header, or a variable that is not set.
    pub fn new(
        feed: Feed,
        url: Secret,
        headers: impl IntoIterator<Item = (String, Secret)>,
        secrets: Secrets,
        timeout: Duration,
    ) -> Result<Self> {
        let mut named = Vec::new();
        for (name, value) in headers {
            let known = HeaderName::try_from(&name)
                .map_err(|_| Error::config(format!("{name:?} is no name of a header, expected such as X-Api-Key")))?;
            named.push((known, value));
        }
        // A header may be a key: it goes to no other host than the one it was given for.
        let may_leave = named.is_empty();
        let client = Client::builder()
            .user_agent(concat!("metropulse/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .referer(false)
            .redirect(Policy::custom(move |attempt| redirected(attempt, may_leave)))
            .build()
            .map_err(|e| Error::config(format!("no client can be made: {}", with_causes(&e))))?;
        let source = Self { feed, url, headers: named, secrets, client, known: Known::default() };
        source.request(&mut source.secrets.read()?)?;
        Ok(source)
    }

    /// Which feed it is.
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// The URL without secrets.
    pub fn shown(&self) -> String {
        shown(self.url.expose())
    }

    /// What is known of the last answer.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Takes note of an answer that was dealt with.
    pub fn learn(&mut self, known: Known) {
        self.known = known;
    }

    /// Asks once.
    pub async fn ask(&self) -> Answer {
        let begun = Instant::now();
        let mut answer = Answer {
            poll: Poll::new(self.feed),
            body: None,
            is_gzip: false,
            says: Known::default(),
            retry_after: None,
        };
        let mut values = Values::default();
        let asked = self.ask_into(&mut answer, &mut values).await;
        answer.poll.received_at = Utc::now();
        answer.poll.took_ms = u64::try_from(begun.elapsed().as_millis()).ok();
        if let Err(why) = asked {
            answer.poll.error = Some(values.hide(&why));
            answer.body = None;
        }
        answer
    }

    async fn ask_into(&self, answer: &mut Answer, values: &mut Values) -> std::result::Result<(), String> {
        *values = self.secrets.read().map_err(|e| e.to_string())?;
        let (url, headers) = self.request(values).map_err(|e| e.to_string())?;
        let response = self.client.get(url).headers(headers).send().await.map_err(without_url)?;
        let (status, headers) = (response.status(), response.headers());
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        answer.poll.status = Some(status.as_u16());
        (answer.poll.etag, answer.poll.last_modified) = (text(ETAG), text(LAST_MODIFIED));
        answer.says.etag = headers.get(ETAG).cloned();
        answer.says.last_modified = headers.get(LAST_MODIFIED).cloned();
        answer.retry_after = text(RETRY_AFTER).and_then(|value| seconds_asked(&value));
        answer.is_gzip = text(CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        if status == StatusCode::NOT_MODIFIED && self.is_conditional() {
            answer.poll.became = Became::Unchanged;
            return Ok(());
        }
        if status != StatusCode::OK {
            return Err(format!("the server answers {status}, expected 200 OK"));
        }
        answer.body = Some(body(response).await?);
        Ok(())
    }

    fn is_conditional(&self) -> bool {
        self.known.etag.is_some() || self.known.last_modified.is_some()
    }

    /// URL and headers of the next request.
    fn request(&self, values: &mut Values) -> Result<(Url, HeaderMap)> {
        // Why it is none may show what it is.
        let wrong = || Error::config(format!("the URL of {} is none, expected http:// or https://", self.feed));
        let url = Url::parse(&values.fill(self.url.expose())?).map_err(|_| wrong())?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(wrong());
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        for (name, value) in [(IF_NONE_MATCH, &self.known.etag), (IF_MODIFIED_SINCE, &self.known.last_modified)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        for (name, value) in &self.headers {
            let mut value = HeaderValue::try_from(values.fill(value.expose())?).map_err(|_| {
                Error::config(format!("the header {name} has a value that no header can have")).with("header", name)
            })?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok((url, headers))
    }
}

/// The body, whole: an answer that is cut short is an error.
async fn body(mut response: Response) -> std::result::Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(without_url)? {
        if (body.len() + chunk.len()) as u64 > LARGEST_BYTES {
            return Err(format!("the answer has more than {LARGEST_BYTES} bytes, which no message has"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// An error of the client without the URL, which may hold a key.
fn without_url(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "the server did not answer in time".into();
    }
    with_causes(&error.without_url())
}

fn redirected(attempt: Attempt<'_>, may_leave: bool) -> reqwest::redirect::Action {
    let Some(first) = attempt.previous().first() else { return attempt.follow() };
    let leaves = first.host_str() != attempt.url().host_str();
    let uncovers = first.scheme() == "https" && attempt.url().scheme() != "https";
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("the server sends on and on")
    } else if uncovers || (leaves && !may_leave) {
        attempt.error("the server sends to another host or away from https, where headers do not go; give that URL")
    } else {
        attempt.follow()
    }
}

/// The pause that `Retry-After` asks for, as seconds or as a date.
fn seconds_asked(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    (until.with_timezone(&Utc) - Utc::now()).to_std().ok()
}
