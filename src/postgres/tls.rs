//! TLS for PostgreSQL by `sslmode` and its kin, with the meaning libpq gives them.
//!
//! `disable`, `allow`, `prefer` (default) and `require` encrypt without asking who answers; `verify-ca` checks that an
//! authority issued the certificate, `verify-full` also that it names the host. As in libpq, `require` becomes `verify-ca`
//! where a file of authorities is at hand.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::error::{Error, Result};

/// How much of the server's certificate is checked, and whether there need be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What the connection string asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    given_mode: Option<Mode>,
    mode: Mode,
    root_file: Option<String>,
    certificate_file: Option<String>,
    key_file: Option<String>,
    revoked_file: Option<String>,
    /// TLS from the first byte on (`sslnegotiation=direct`).
    pub(super) is_direct: bool,
    hides_name: bool,
    shows_no_certificate: bool,
    no_older: Option<u8>,
    no_newer: Option<u8>,
}

/// `sslrootcert=system`: the authorities that the machine trusts.
const SYSTEM: &str = "system";

impl Policy {
    /// Takes one parameter, if it is one of TLS.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<()> {
        let expected = |values: &str| Err(Error::config(format!("{name} is {value:?}, expected {values}")));
        let file = || Some(value.to_owned());
        match (name, value) {
            (_, "") => {}
            ("sslmode", "disable") => self.given_mode = Some(Mode::Disable),
            ("sslmode", "allow" | "prefer") => self.given_mode = Some(Mode::Prefer),
            ("sslmode", "require") => self.given_mode = Some(Mode::Require),
            ("sslmode", "verify-ca") => self.given_mode = Some(Mode::VerifyCa),
            ("sslmode", "verify-full") => self.given_mode = Some(Mode::VerifyFull),
            ("sslmode", _) => return expected("disable, allow, prefer, require, verify-ca or verify-full"),
            ("sslrootcert", _) => self.root_file = file(),
            ("sslcert", _) => self.certificate_file = file(),
            ("sslkey", _) => self.key_file = file(),
            ("sslcrl", _) => self.revoked_file = file(),
            ("sslnegotiation", "postgres") => self.is_direct = false,
            ("sslnegotiation", "direct") => self.is_direct = true,
            ("sslnegotiation", _) => return expected("postgres or direct"),
            ("sslsni", "0" | "1") => self.hides_name = value == "0",
            ("sslsni", _) => return expected("0 or 1"),
            ("sslcertmode", "allow") => self.shows_no_certificate = false,
            ("sslcertmode", "disable") => self.shows_no_certificate = true,
            ("sslcertmode", _) => return expected("allow or disable"),
            ("ssl_min_protocol_version", _) => self.no_older = version(name, value)?,
            ("ssl_max_protocol_version", _) => self.no_newer = version(name, value)?,
            _ => {}
        }
        Ok(())
    }

    /// Adds what libpq takes from the home folder, and refuses what contradicts itself.
    pub(super) fn complete(&mut self) -> Result<()> {
        let home = |name: &str| {
            let path = Path::new(&std::env::var_os("HOME")?).join(".postgresql").join(name);
            path.is_file().then(|| path.display().to_string())
        };
        let is_system = self.root_file.as_deref() == Some(SYSTEM);
        self.mode = self.given_mode.unwrap_or(if is_system { Mode::VerifyFull } else { Mode::Prefer });
        if is_system && self.mode < Mode::VerifyFull {
            return Err(Error::config(
                "sslrootcert=system needs sslmode=verify-full: anybody can have a certificate of those",
            ));
        }
        if self.is_direct && self.mode < Mode::Require {
            return Err(Error::config("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full"));
        }
        if self.root_file.is_none() {
            self.root_file = home("root.crt");
        }
        if self.mode == Mode::Require && self.root_file.is_some() {
            self.mode = Mode::VerifyCa;
        }
        if self.certificate_file.is_none() && !self.shows_no_certificate {
            self.certificate_file = home("postgresql.crt");
        }
        if self.revoked_file.is_none() {
            self.revoked_file = home("root.crl");
        }
        if self.certificate_file.is_some() && self.key_file.is_none() {
            let message = "sslcert is given without sslkey, and there is no ~/.postgresql/postgresql.key";
            self.key_file = Some(home("postgresql.key").ok_or_else(|| Error::config(message))?);
        }
        Ok(())
    }

    /// The mode as the driver knows it.
    pub(super) fn mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// The connector for this policy.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions())
            .map_err(|e| Error::config("no version of TLS is left between the least and the greatest").because(e))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier(provider)?);
        let mut config = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) if !self.shows_no_certificate => builder
                .with_client_auth_cert(pem(certificate, "sslcert")?, private_key(key)?)
                .map_err(|e| Error::config("sslcert and sslkey cannot be used").with("file", certificate).because(e))?,
            _ => builder.with_no_client_auth(),
        };
        config.enable_sni = !self.hides_name;
        if self.is_direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(MakeRustlsConnect::new(config))
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let (least, most) = (self.no_older.unwrap_or(2), self.no_newer.unwrap_or(3));
        [(2, &TLS12), (3, &TLS13)]
            .into_iter()
            .filter(|(minor, _)| (least..=most).contains(minor))
            .map(|(_, v)| v)
            .collect()
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
        if self.mode < Mode::VerifyCa {
            return Ok(Arc::new(Encrypt(provider)));
        }
        let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider);
        if let Some(file) = &self.revoked_file {
            builder = builder.with_crls(pem::<CertificateRevocationListDer<'_>>(file, "sslcrl")?);
            // As in libpq: a list speaks of those that it lists.
            builder = builder.allow_unknown_revocation_status();
        }
        let full =
            builder.build().map_err(|e| Error::config("the server's certificate cannot be checked").because(e))?;
        Ok(if self.mode == Mode::VerifyFull { full } else { Arc::new(AnyHost(full)) })
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match self.root_file.as_deref() {
            Some(file) if file != SYSTEM => {
                for certificate in pem(file, "sslrootcert")? {
                    roots.add(certificate).map_err(|e| {
                        Error::config("sslrootcert holds no usable certificate").with("file", file).because(e)
                    })?;
                }
            }
            _ => {
                for certificate in rustls_native_certs::load_native_certs().certs {
                    // A system store may hold certificates that rustls cannot parse; the others still serve.
                    let _ = roots.add(certificate);
                }
            }
        }
        Ok(roots)
    }
}

/// The minor number of a version of TLS 1; what is older than this library knows is no bound for it.
fn version(name: &str, value: &str) -> Result<Option<u8>> {
    match value.to_ascii_lowercase().as_str() {
        "tlsv1" | "tlsv1.1" if name.contains("min") => Ok(None),
        "tlsv1.2" => Ok(Some(2)),
        "tlsv1.3" => Ok(Some(3)),
        _ => Err(Error::config(format!("{name} is {value:?}, expected TLSv1.2 or TLSv1.3"))),
    }
}

/// Everything of one kind that a file holds.
fn pem<T: PemObject>(file: &str, parameter: &str) -> Result<Vec<T>> {
    let unreadable = |e| Error::config(format!("{parameter} cannot be read")).with("file", file).because(e);
    let all =
        T::pem_file_iter(file).map_err(unreadable)?.collect::<std::result::Result<Vec<_>, _>>().map_err(unreadable)?;
    if all.is_empty() {
        return Err(Error::config(format!("{parameter} holds nothing in PEM")).with("file", file));
    }
    Ok(all)
}

fn private_key(file: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|e| {
        let message = "sslkey cannot be read, expected a key in PEM without a password";
        Error::config(message).with("file", file).because(e)
    })
}

/// Encrypts without checking who answers, as libpq's `prefer` and `require` do.
#[derive(Debug)]
struct Encrypt(Arc<CryptoProvider>);

impl Encrypt {
    /// Checks the handshake by the certificate's bare key: rustls parses no certificate of version 1, whose key serves as
    /// well. Not to check it would let anybody show the server's certificate, to which passwords are bound.
    fn by_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let unreadable = || rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let parsed = Certificate::from_der(certificate).map_err(|_| unreadable())?;
        let key = parsed.tbs_certificate.subject_public_key_info.to_der().map_err(|_| unreadable())?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.0.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Encrypt {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
            .or_else(|e| self.by_key(message, certificate, signature).map_err(|_| e))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
            .or_else(|e| self.by_key(message, certificate, signature).map_err(|_| e))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks who issued the certificate, and not for which host: `verify-ca`.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.0.verify_server_cert(certificate, between, host, stapled, now) {
            // The name is looked at when everything else is right.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pairs: &[(&str, &str)]) -> Result<Policy> {
        let mut policy = Policy::default();
        for (name, value) in pairs {
            policy.take(name, value)?;
        }
        policy.complete()?;
        Ok(policy)
    }

    #[test]
    fn each_mode_checks_what_libpq_checks() {
        for (pairs, mode) in [
            (&[][..], Mode::Prefer),
            (&[("sslmode", "disable")], Mode::Disable),
            (&[("sslmode", "allow")], Mode::Prefer),
            (&[("sslmode", "require")], Mode::Require),
            (&[("sslmode", "require"), ("sslrootcert", "ca.pem")], Mode::VerifyCa),
            (&[("sslmode", "prefer"), ("sslrootcert", "ca.pem")], Mode::Prefer),
            (&[("sslmode", "verify-ca")], Mode::VerifyCa),
            (&[("sslmode", "verify-full")], Mode::VerifyFull),
            (&[("sslrootcert", "system")], Mode::VerifyFull),
        ] {
            assert_eq!(policy(pairs).unwrap().mode, mode, "{pairs:?}");
        }
    }

    #[test]
    fn contradictions_and_unknown_values_are_refused() {
        for pairs in [
            &[("sslmode", "sometimes")][..],
            &[("sslmode", "verify-ca"), ("sslrootcert", "system")],
            &[("sslnegotiation", "direct")],
            &[("sslnegotiation", "later")],
            &[("sslcert", "client.pem")],
            &[("sslsni", "yes")],
            &[("sslcertmode", "require")],
            &[("ssl_max_protocol_version", "TLSv1.1")],
        ] {
            assert_eq!(policy(pairs).unwrap_err().kind(), "config", "{pairs:?}");
        }
    }

    #[test]
    fn versions_lie_between_their_bounds() {
        let versions = |pairs: &[(&str, &str)]| policy(pairs).unwrap().versions();
        assert_eq!(versions(&[]), [&TLS12, &TLS13]);
        assert_eq!(versions(&[("ssl_min_protocol_version", "TLSv1")]), [&TLS12, &TLS13]);
        assert_eq!(versions(&[("ssl_min_protocol_version", "TLSv1.3")]), [&TLS13]);
        assert_eq!(versions(&[("ssl_max_protocol_version", "TLSv1.2")]), [&TLS12]);
    }
}
