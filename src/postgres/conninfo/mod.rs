//! What a connection string asks for, with the meaning that libpq gives it: both forms, password and service files,
//! several hosts, and what a session must be good for. [`words`] lists every parameter.

mod files;
mod parse;
mod words;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use super::pooler::Server;
use super::tls::Policy;
use crate::error::{Error, Result};

/// What PostgreSQL keeps of a session's name.
const NAME_BYTES: usize = 63;
const DEFAULT_PORT: &str = "5432";
/// How long a connection attempt may take where nothing else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A server that vanished without a word is noticed after two minutes. The system's own hours would be a hang.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVES_COUNT: u32 = 4;
/// Where servers have their sockets: Debian's packages, and PostgreSQL itself.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// One server of a connection string.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) config: Config,
    /// For messages: `host:port`.
    pub(super) shown: String,
}

/// Everything a connection string asks for.
#[derive(Clone)]
pub(super) struct ConnInfo {
    hosts: Vec<Host>,
    pub(super) tls: Policy,
    pub(super) attrs: SessionAttrs,
    is_shuffled: bool,
    /// How long a whole attempt may take, where the string says so.
    pub(super) deadline: Option<Duration>,
    /// Why a password file was not used.
    pub(super) no_password: Option<String>,
    /// Whether the string says how its sessions are shown.
    is_named: bool,
}

/// What a session must be good for (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl SessionAttrs {
    const NAMES: [(&str, Self); 6] = [
        ("any", Self::Any),
        ("read-write", Self::ReadWrite),
        ("read-only", Self::ReadOnly),
        ("primary", Self::Primary),
        ("standby", Self::Standby),
        ("prefer-standby", Self::PreferStandby),
    ];

    /// Whether a server will do.
    pub(super) fn take(self, server: Server) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !server.is_read_only,
            Self::ReadOnly => server.is_read_only,
            Self::Primary => !server.is_standby,
            Self::Standby | Self::PreferStandby => server.is_standby,
        }
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, attrs)| *attrs == self).map_or("any", |(name, _)| name)
    }
}

/// The parameters, each with the value that counts.
struct Words(BTreeMap<String, String>);

impl ConnInfo {
    /// Reads a `postgresql://` URL or a `key=value` string. No error repeats a secret.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut words = Words(parse::parse(text)?.into_iter().collect());
        words.add_service()?;
        for (name, value) in &words.0 {
            words::check(name, value)?;
        }
        let mut tls = Policy::default();
        for (name, value) in &words.0 {
            tls.take(name, value)?;
        }
        tls.complete()?;
        let shared = words.shared(&tls)?;
        let mut no_password = None;
        let hosts = words.hosts(&shared, &mut no_password)?;
        let attrs = words.choice("target_session_attrs", &SessionAttrs::NAMES, SessionAttrs::Any)?;
        let is_shuffled = words.choice("load_balance_hosts", &[("disable", false), ("random", true)], false)?;
        let deadline = words.seconds("connect_timeout")?;
        let is_named = words.application_name().is_some();
        Ok(Self { hosts, tls, attrs, is_shuffled, deadline, no_password, is_named })
    }

    /// Has the server show the sessions under a name, unless the string gives one.
    pub(super) fn show_as(&mut self, name: &str) {
        if self.is_named {
            return;
        }
        let end = (0..=NAME_BYTES.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        for host in &mut self.hosts {
            host.config.application_name(&name[..end]);
        }
    }

    /// The servers in the order in which they are to be tried.
    pub(super) fn hosts(&self) -> Vec<&Host> {
        let mut hosts: Vec<&Host> = self.hosts.iter().collect();
        if self.is_shuffled {
            let random = RandomState::new();
            hosts.sort_by_cached_key(|host| random.hash_one(&host.shown));
        }
        hosts
    }

    /// Hosts with their ports, and the database, for messages.
    pub(super) fn shown(&self) -> String {
        let hosts: Vec<&str> = self.hosts.iter().map(|host| host.shown.as_str()).collect();
        let database = self.hosts.first().and_then(|host| host.config.get_dbname()).unwrap_or("");
        format!("{}/{database}", hosts.join(","))
    }
}

impl Words {
    /// The value of a parameter that is given and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Adds what the service says, where the string says nothing.
    fn add_service(&mut self) -> Result<()> {
        let Some(service) = self.get("service").map(str::to_owned).or_else(|| files::variable("PGSERVICE")) else {
            return Ok(());
        };
        for (name, value) in files::service(&service, self.get("servicefile"))? {
            self.0.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn choice<T: Copy>(&self, name: &str, values: &[(&str, T)], default: T) -> Result<T> {
        let Some(given) = self.get(name) else { return Ok(default) };
        values.iter().find(|(value, _)| *value == given).map(|(_, meant)| *meant).ok_or_else(|| {
            let known: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
            Error::config(format!("{name} is {given:?}, expected {}", known.join(", ")))
        })
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parsed = |given: &str| {
            given.trim().parse().map_err(|_| Error::config(format!("{name} is {given:?}, expected a whole number")))
        };
        self.get(name).map(parsed).transpose()
    }

    /// A time in seconds; 0 and less are none.
    fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        Ok(self
            .number::<i64>(name)?
            .and_then(|given| u64::try_from(given).ok())
            .filter(|s| *s > 0)
            .map(Duration::from_secs))
    }

    fn application_name(&self) -> Option<&str> {
        self.get("application_name").or_else(|| self.get("fallback_application_name"))
    }

    /// What all hosts share.
    fn shared(&self, tls: &Policy) -> Result<Config> {
        let mut config = Config::new();
        if let Some(user) = self.get("user") {
            config.user(user);
        }
        if let Some(database) = self.get("dbname") {
            config.dbname(database);
        }
        if let Some(options) = self.get("options") {
            config.options(options);
        }
        config.application_name(self.application_name().unwrap_or("metropulse"));
        let limit = if self.get("connect_timeout").is_none() {
            Some(CONNECT_TIMEOUT)
        } else {
            self.seconds("connect_timeout")?
        };
        if let Some(limit) = limit {
            config.connect_timeout(limit);
        }
        config.keepalives(self.number::<i64>("keepalives")?.is_none_or(|on| on != 0));
        config.keepalives_idle(self.seconds("keepalives_idle")?.unwrap_or(KEEPALIVES_IDLE));
        config.keepalives_interval(self.seconds("keepalives_interval")?.unwrap_or(KEEPALIVES_INTERVAL));
        let count = self.number::<i64>("keepalives_count")?.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        config.keepalives_retries(count.unwrap_or(KEEPALIVES_COUNT));
        if let Some(limit) =
            self.number::<i64>("tcp_user_timeout")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
        {
            config.tcp_user_timeout(Duration::from_millis(limit));
        }
        let bindings = [
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ];
        config.channel_binding(self.choice("channel_binding", &bindings, ChannelBinding::Prefer)?);
        config.ssl_mode(tls.mode());
        config.ssl_negotiation(if tls.is_direct { SslNegotiation::Direct } else { SslNegotiation::Postgres });
        Ok(config)
    }

    /// The hosts, each with its password.
    fn hosts(&self, shared: &Config, no_password: &mut Option<String>) -> Result<Vec<Host>> {
        let list = |name: &str| -> Vec<String> {
            self.get(name).map(|given| given.split(',').map(|one| one.trim().to_owned()).collect()).unwrap_or_default()
        };
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let count = hosts.len().max(addresses.len()).max(1);
        let fits = |list: &[String]| list.is_empty() || list.len() == count;
        if !fits(&hosts) || !fits(&addresses) || !(fits(&ports) || ports.len() == 1) {
            return Err(Error::config(format!(
                "{} hosts, {} hostaddrs and {} ports do not belong together",
                hosts.len(),
                addresses.len(),
                ports.len()
            )));
        }
        let at = |list: &[String], index: usize| list.get(index).filter(|one| !one.is_empty()).cloned();
        (0..count)
            .map(|index| {
                let port = at(&ports, index).or_else(|| at(&ports, 0).filter(|_| ports.len() == 1));
                let port = port.unwrap_or_else(|| DEFAULT_PORT.to_owned());
                self.host(shared, at(&hosts, index), at(&addresses, index), &port, no_password)
            })
            .collect()
    }

    fn host(
        &self,
        shared: &Config,
        host: Option<String>,
        address: Option<String>,
        port: &str,
        no_password: &mut Option<String>,
    ) -> Result<Host> {
        let mut config = shared.clone();
        config.port(port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            // A password that holds a colon or a slash ends up here.
            Error::config("the warehouse URL names a port that is no number from 1 to 65535")
        })?);
        if let Some(address) = &address {
            config.hostaddr(
                address
                    .parse::<IpAddr>()
                    .map_err(|_| Error::config(format!("hostaddr is {address:?}, expected an IP address")))?,
            );
        }
        let socket = || SOCKETS.iter().find(|at| Path::new(at).is_dir()).map_or("localhost", |at| at);
        let name = host.or(address).unwrap_or_else(|| socket().to_owned());
        if name.starts_with('@') {
            return Err(Error::config(format!("host {name:?} is an abstract socket, which is not supported here")));
        }
        if name.starts_with('/') {
            // As in libpq: a socket needs no encryption, whatever sslmode says.
            config.host_path(&name).ssl_mode(SslMode::Disable);
        } else {
            config.host(&name);
        }
        if let Some(password) = self.password(&name, port, no_password) {
            config.password(password);
        }
        Ok(Host { config, shown: format!("{name}:{port}") })
    }

    /// The password of a host: the string's own, or the password file's.
    fn password(&self, host: &str, port: &str, no_password: &mut Option<String>) -> Option<String> {
        if let Some(given) = self.get("password") {
            return Some(given.to_owned());
        }
        let file = self.get("passfile").map(str::to_owned).or_else(|| files::variable("PGPASSFILE"));
        let file = file.map(Into::into).or_else(|| files::home(".pgpass"))?;
        let user = self.get("user").map(str::to_owned).or_else(|| files::variable("USER"))?;
        let database = self.get("dbname").unwrap_or(&user);
        let host = if SOCKETS.contains(&host) { "localhost" } else { host };
        match files::password(&file, &files::Login { host, port, database, user: &user }) {
            Ok(password) => password,
            Err(why) => {
                *no_password = Some(why);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> ConnInfo {
        ConnInfo::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn first(text: &str) -> Config {
        info(text).hosts[0].config.clone()
    }

    #[test]
    fn parameters_reach_the_driver() {
        let seconds = Duration::from_secs;
        assert_eq!(first("host=h password='a  b'").get_password(), Some(&b"a  b"[..]));
        assert_eq!(first("host=h").get_application_name(), Some("metropulse"));
        assert_eq!(first("host=h application_name=dbt").get_application_name(), Some("dbt"));
        assert_eq!(first("host=h fallback_application_name=x").get_application_name(), Some("x"));
        assert_eq!(first("host=h").get_connect_timeout(), Some(&CONNECT_TIMEOUT));
        assert_eq!(first("host=h connect_timeout=3").get_connect_timeout(), Some(&seconds(3)));
        assert_eq!(first("host=h connect_timeout=0").get_connect_timeout(), None);
        assert_eq!(first("host=h options='-c geqo=off'").get_options(), Some("-c geqo=off"));
        let kept = first("host=h");
        assert!(kept.get_keepalives_idle() + seconds(15) * kept.get_keepalives_retries().unwrap() <= seconds(120));
        assert_eq!(kept.get_keepalives_interval(), Some(seconds(15)));
        assert!(!first("host=h keepalives=0").get_keepalives());
        assert_eq!(first("host=h keepalives_idle=7").get_keepalives_idle(), seconds(7));
        assert_eq!(first("host=h keepalives_interval=8").get_keepalives_interval(), Some(seconds(8)));
        assert_eq!(first("host=h keepalives_count=9").get_keepalives_retries(), Some(9));
        assert_eq!(first("host=h tcp_user_timeout=1500").get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
        assert_eq!(first("host=h channel_binding=require").get_channel_binding(), ChannelBinding::Require);
        assert_eq!(first("host=h sslmode=verify-ca").get_ssl_mode(), SslMode::Require);
        assert_eq!(first("host=/run sslmode=require").get_ssl_mode(), SslMode::Disable);
        assert_eq!(first("host=h hostaddr=10.0.0.1").get_hostaddrs(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        for (name, attrs) in SessionAttrs::NAMES {
            assert_eq!(info(&format!("host=h target_session_attrs={name}")).attrs, attrs);
        }
        info("host=h client_encoding=utf8 gssencmode=prefer sslcompression=0 krbsrvname=x");
    }

    #[test]
    fn sessions_are_shown_by_their_run_unless_the_string_names_them() {
        let shown = |text: &str, name: &str| {
            let mut info = info(text);
            info.show_as(name);
            info.hosts[0].config.get_application_name().unwrap().to_owned()
        };
        assert_eq!(shown("host=h", "metropulse 1f dag.task"), "metropulse 1f dag.task");
        assert_eq!(shown("host=h application_name=dbt", "metropulse 1f"), "dbt");
        assert_eq!(shown("host=h", &format!("{}é", "x".repeat(62))), "x".repeat(62));
    }

    #[test]
    fn several_hosts_have_one_port_or_their_own() {
        let shown = |text: &str| info(text).shown();
        assert_eq!(shown("postgresql://a,b/d"), "a:5432,b:5432/d");
        assert_eq!(shown("postgresql://a:1,b:2/d"), "a:1,b:2/d");
        assert_eq!(shown("host=a,b port=9 dbname=d"), "a:9,b:9/d");
        assert_eq!(shown("host=a,b port=9, dbname=d"), "a:9,b:5432/d");
        assert_eq!(shown("hostaddr=::1 dbname=d"), "::1:5432/d");
        for text in ["host=a,b port=1,2,3", "host=a,b hostaddr=::1", "host=a port=x", "host=a port=70000", "host=@x"] {
            assert_eq!(ConnInfo::parse(text).err().expect(text).kind(), "config");
        }
    }

    #[test]
    fn a_server_is_taken_for_what_it_is() {
        let primary = Server { process_id: 1, version: 150_000, is_standby: false, is_read_only: false };
        let guarded = Server { is_read_only: true, ..primary };
        let standby = Server { is_standby: true, ..guarded };
        for (attrs, takes) in [
            (SessionAttrs::Any, [true, true, true]),
            (SessionAttrs::ReadWrite, [true, false, false]),
            (SessionAttrs::ReadOnly, [false, true, true]),
            (SessionAttrs::Primary, [true, true, false]),
            (SessionAttrs::Standby, [false, false, true]),
            (SessionAttrs::PreferStandby, [false, false, true]),
        ] {
            assert_eq!([primary, guarded, standby].map(|server| attrs.take(server)), takes, "{attrs:?}");
        }
    }

    #[test]
    fn an_unknown_parameter_or_value_is_named_and_no_secret_is_shown() {
        for (text, named) in [
            ("postgresql://u:geheim@h/d?pool_size=5", "pool_size"),
            ("postgresql://u:geheim@h/d?sslmode=sometimes", "sometimes"),
            ("host=h password=geheim sslpassword=geheim", "sslpassword"),
            ("host=h password=geheim target_session_attrs=best", "best"),
            ("host=h password=geheim keepalives_idle=long", "keepalives_idle"),
            ("host=h password=geheim service=none servicefile=/nowhere", "service none"),
            ("postgresql://u:geheim@h:notaport/d", "port"),
        ] {
            let error = ConnInfo::parse(text).err().expect(text);
            assert!(error.to_string().contains(named), "{error}");
            assert!(!format!("{error:?}{error}").contains("geheim"), "{error}");
        }
    }
}
