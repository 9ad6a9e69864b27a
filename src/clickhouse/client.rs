//! One ClickHouse database over HTTP.

use std::future::Future;
use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use clickhouse::{Client, Compression};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{error, text};
use crate::backoff::retrying;
use crate::config::Secret;
use crate::error::{Error, Result};

/// How long the first answer of a server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long any later request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1800);
/// Bytes of one chunk of an INSERT.
const CHUNK_BYTES: usize = 1 << 20;
/// From here on Arrow output is complete and its settings are known.
const ARROW_SINCE: Version = Version { major: 23, minor: 8 };

/// The first version that takes a `log_comment`; older ones refuse a setting that they do not know.
const LOG_COMMENT_SINCE: Version = Version { major: 21, minor: 1 };

/// Refuses what would change data or tables; 1 would refuse other settings beside it too.
const READ_ONLY: (&str, &str) = ("readonly", "2");

/// A server's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    /// The year.
    major: u32,
    /// The release within it.
    minor: u32,
}

/// The ClickHouse database that holds the route mart. Cheap to clone; clones share connections.
///
/// Dropping the future of a running request asks the server to kill its query, as far as that can still be told.
#[derive(Clone, Debug)]
pub struct Mart {
    client: Client,
    server: String,
    version: Version,
    time_zone: String,
    /// Whether the server is this machine.
    is_local: bool,
}

impl Mart {
    /// Connects to `http(s)://host:port/database`, or `http(s)://host:port/prefix/?database=…` behind a proxy, and asks for
    /// the version. User and password may also stand in the URL; the arguments win.
    ///
    /// # Errors
    /// `Config` for a malformed URL, a wrong user, password or database; `Database` when the server is away.
    pub async fn connect(url: &str, user: Option<&str>, password: Option<&Secret>) -> Result<Self> {
        let (client, server) = client(url, user, password)?;
        let unknown = Version { major: 0, minor: 0 };
        let is_local = is_loopback(&server);
        let mut mart = Self { client, server, version: unknown, time_zone: "UTC".into(), is_local };
        let asked = tokio::time::timeout(CONNECT_TIMEOUT, mart.rows("SELECT version(), timezone()"));
        let answer = asked.await.map_err(|_| error::unreachable(&mart.server, "it did not answer within 30 s"))??;
        let cell = |at: usize| answer.first().and_then(|row| row.get(at)).cloned().unwrap_or_default();
        let mut numbers = cell(0).split('.').map(str::parse::<u32>).collect::<Vec<_>>().into_iter();
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(Error::config(format!("{} does not answer like ClickHouse", mart.server)));
        };
        mart.version = Version { major, minor };
        mart.time_zone = cell(1);
        Ok(mart)
    }

    /// The same mart for one run, which the server's `system.query_log` shows by `log_comment`.
    #[must_use]
    pub fn for_run(mut self, shown_as: &str) -> Self {
        if self.version >= LOG_COMMENT_SINCE {
            self.client = self.client.with_setting("log_comment", shown_as);
        }
        self
    }

    /// The server's address, without user, password or database.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Runs one statement that gives no rows.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.request("run a statement", |id| {
            self.client.query_raw(sql).with_setting("query_id", id).with_setting("wait_end_of_query", "1").execute()
        })
        .await
    }

    /// Runs one query, which may change nothing, and holds its whole answer in memory. Current servers answer in Arrow;
    /// older ones (18.16) in text, converted by the declared types, where arrays, tuples and other nested types stay text.
    /// A `DateTime` is a timestamp in seconds in its own zone, or the server's.
    pub async fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        if self.version < ARROW_SINCE {
            let answer = self.fetch(sql, "TabSeparatedWithNamesAndTypes", &[READ_ONLY]).await?;
            return text::table(&answer, &self.time_zone);
        }
        let settings = [
            READ_ONLY,
            ("output_format_arrow_compression_method", "none"),
            ("output_format_arrow_string_as_string", "1"),
        ];
        let answer = self.fetch(sql, "ArrowStream", &settings).await?;
        let (schema, batches) = arrow_stream(answer)?;
        if !schema.fields().iter().any(|f| *f.data_type() == DataType::UInt32) {
            return Ok((schema, batches));
        }
        // ClickHouse writes a DateTime as a bare number of seconds: only its own declaration tells the two apart.
        let select = sql.trim_end().trim_end_matches(';');
        match self.rows(&format!("DESCRIBE TABLE ({select}\n)")).await {
            Ok(declared) => text::with_instants(schema, batches, &declared, &self.time_zone),
            // Not a query that can be described: the numbers stay as they came.
            Err(_) => Ok((schema, batches)),
        }
    }

    /// The cells of a small answer as text.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let answer = self.fetch(sql, "TabSeparated", &[]).await?;
        Ok(text::cells(&answer)
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
            .collect())
    }

    /// Sends rows in RowBinary; `into` is the table with its columns.
    pub(super) async fn insert(&self, into: &str, rows: Bytes) -> Result<()> {
        let sql = format!("INSERT INTO {into} FORMAT RowBinary");
        self.request("insert rows", |id| {
            let mut insert = self.client.insert_formatted_with(&sql).with_setting("query_id", id);
            let mut rest = rows.clone();
            async move {
                while !rest.is_empty() {
                    insert.send(rest.split_to(rest.len().min(CHUNK_BYTES))).await?;
                }
                insert.end().await
            }
        })
        .await
    }

    /// Sends what comes through a channel as the rows of one INSERT, in a binary format; nothing is sent when nothing comes.
    pub(super) async fn insert_stream(
        &self,
        into: &str,
        format: &str,
        mut blocks: tokio::sync::mpsc::Receiver<Bytes>,
    ) -> Result<()> {
        let Some(first) = blocks.recv().await else { return Ok(()) };
        let id = query_id();
        let sql = format!("INSERT INTO {into} FORMAT {format}");
        // Compressing costs more than loopback does.
        let client =
            if self.is_local { self.client.clone().with_compression(Compression::None) } else { self.client.clone() };
        let mut insert = client.insert_formatted_with(sql).with_setting("query_id", &id);
        let sent = async move {
            insert.send(first).await?;
            while let Some(block) = blocks.recv().await {
                insert.send(block).await?;
            }
            insert.end().await
        };
        self.guarded(id, "insert rows", sent).await
    }

    async fn fetch(&self, sql: &str, format: &str, settings: &[(&str, &str)]) -> Result<Bytes> {
        self.request("run a query", |id| {
            // With `wait_end_of_query` an error in the middle of an answer is an error, not a truncated answer.
            let query = self.client.query_raw(sql).with_setting("query_id", id).with_setting("wait_end_of_query", "1");
            let query = settings.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value));
            let format = format.to_owned();
            async move { query.fetch_bytes(format)?.collect().await }
        })
        .await
    }

    /// Makes a request under a query id of its own, and again while the server has not heard it.
    async fn request<T, F: Future<Output = clickhouse::error::Result<T>>>(
        &self,
        asked: &str,
        ask: impl Fn(&str) -> F,
    ) -> Result<T> {
        retrying(error::is_unheard, || {
            let id = query_id();
            let request = ask(&id);
            self.guarded(id, asked, request)
        })
        .await
    }

    /// Waits for a request within the time limit; kills its query when it is given up.
    async fn guarded<T>(
        &self,
        query_id: String,
        asked: &str,
        request: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T> {
        let kill = Kill { mart: self, query_id: Some(query_id) };
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(answer) => {
                kill.spare();
                answer.map_err(|e| error::client_error(e, &self.server, asked))
            }
            Err(_) => Err(error::unreachable(&self.server, "a request took longer than 30 minutes and was given up")),
        }
    }

    /// Runs a statement later, when nobody waits for its outcome any more.
    pub(super) fn leave(&self, sql: String) {
        let mart = self.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let query = mart.client.query_raw(&sql).execute();
                // Nobody is left to hear of a failure: the server ends the query by itself, orphans are dropped later.
                let _ = tokio::time::timeout(CONNECT_TIMEOUT, query).await;
            });
        }
    }
}

fn arrow_stream(answer: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let unreadable = |e| Error::database("ClickHouse's Arrow answer cannot be read").because(e).retryable(false);
    let reader = StreamReader::try_new(Cursor::new(answer), None).map_err(unreadable)?;
    let schema = reader.schema();
    Ok((schema, reader.collect::<std::result::Result<_, _>>().map_err(unreadable)?))
}

/// Kills a query unless its answer came.
struct Kill<'a> {
    mart: &'a Mart,
    query_id: Option<String>,
}

impl Kill<'_> {
    fn spare(mut self) {
        self.query_id = None;
    }
}

impl Drop for Kill<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.query_id.take() {
            self.mart.leave(format!("KILL QUERY WHERE query_id = '{id}'"));
        }
    }
}

/// A number that no other request or process has used.
pub(super) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    format!("{}_{nanos}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn query_id() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    format!("metropulse_{seconds}_{}", unique())
}

fn is_loopback(server: &str) -> bool {
    Url::parse(server).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

/// A client for a URL, and the server's address for messages.
fn client(url: &str, user: Option<&str>, password: Option<&Secret>) -> Result<(Client, String)> {
    let wanted = "expected http://host:8123/database or https://host:8443/database";
    // The URL itself may hold a password: messages name the parts that are safe.
    let parsed =
        Url::parse(url).map_err(|e| Error::config(format!("the mart's URL cannot be read ({e}), {wanted}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::config(format!("the mart's URL begins with {}://, {wanted}", parsed.scheme())));
    }
    let host = parsed.host_str().ok_or_else(|| Error::config(format!("the mart's URL has no host, {wanted}")))?;
    let port = parsed.port().unwrap_or(if parsed.scheme() == "https" { 8443 } else { 8123 });
    let server = format!("{}://{host}:{port}", parsed.scheme());
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut named = None;
    for (name, value) in parsed.query_pairs() {
        match &*name {
            "database" => named = Some(value.into_owned()).filter(|name| !name.is_empty()),
            other => return Err(Error::config(format!("the mart's URL has an unknown parameter {other:?}, {wanted}"))),
        }
    }
    let path = parsed.path().trim_matches('/');
    if named.is_none() && path.contains('/') {
        let message =
            "the mart's URL has a path of several parts; where it is a proxy's, name the database by ?database=";
        return Err(Error::config(message));
    }
    // Beside ?database= the path is where a proxy has ClickHouse; alone it is the database.
    let (place, database) = match named {
        Some(database) => (parsed.path(), database),
        None if path.is_empty() => ("/", "default".to_owned()),
        None => ("/", decoded(path)),
    };
    let user = user.map(str::to_owned).or_else(|| Some(decoded(parsed.username())).filter(|u| !u.is_empty()));
    let password = password.map(|p| p.expose().to_owned()).or_else(|| parsed.password().map(decoded));
    let mut client =
        Client::default().with_url(format!("{server}{place}")).with_database(database).with_validation(false);
    if let Some(user) = user {
        client = client.with_user(user);
    }
    if let Some(password) = password {
        client = client.with_password(password);
    }
    Ok((client, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_server_and_database_and_hides_its_password() {
        let (client, server) = client("https://me:se%40cret@mart.example/city", None, None).unwrap();
        assert_eq!(server, "https://mart.example:8443");
        assert_eq!(client.database(), Some("city"));
        assert!(!format!("{client:?}").contains("cret"));
    }

    #[test]
    fn a_path_beside_a_database_is_where_a_proxy_has_clickhouse() {
        let database = |url: &str| client(url, None, None).unwrap().0.database().map(str::to_owned);
        for (url, name) in [
            ("http://h", "default"),
            ("http://h/city", "city"),
            ("http://h/?database=city", "city"),
            ("http://gw/clickhouse/?database=dwh", "dwh"),
            ("http://gw/a/b?database=dwh", "dwh"),
            ("http://gw/clickhouse/?database=", "clickhouse"),
        ] {
            assert_eq!(database(url).as_deref(), Some(name), "{url}");
        }
        assert!(client("http://gw/a/b", None, None).unwrap_err().to_string().contains("?database="));
    }

    #[test]
    fn a_wrong_url_is_a_setting_and_shows_no_password() {
        for url in ["clickhouse://me:hush@host/db", "http://me:hush@host/db?secure=1", "me:hush@host"] {
            let error = client(url, None, None).unwrap_err();
            assert_eq!(error.kind(), "config");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
