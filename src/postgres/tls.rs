//! TLS for PostgreSQL by `sslmode`, with the meaning libpq gives it.
//!
//! `disable`, `prefer` (default) and `require` encrypt without looking at the certificate; `verify-ca` and
//! `verify-full` check it against `sslrootcert` or the system's roots. The driver knows only the first three, so the
//! two parameters are taken out of the URL before it is parsed.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};

/// What the URL asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    verify: bool,
    root_file: Option<String>,
    pub(super) mode: Option<SslMode>,
}

impl Policy {
    /// Takes one URL parameter; `true` when it was one of ours.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        match (name, value) {
            ("sslrootcert", file) => self.root_file = Some(file.to_owned()),
            ("sslmode", "disable") => self.mode = Some(SslMode::Disable),
            ("sslmode", "allow" | "prefer") => self.mode = Some(SslMode::Prefer),
            ("sslmode", "require") => self.mode = Some(SslMode::Require),
            ("sslmode", "verify-ca" | "verify-full") => {
                self.mode = Some(SslMode::Require);
                self.verify = true;
            }
            ("sslmode", other) => {
                return Err(Error::config(format!(
                    "sslmode is {other:?}, expected disable, prefer, require, verify-ca or verify-full"
                )));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The connector for this policy.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("TLS cannot be set up").because(e))?;
        let config = if self.verify {
            builder.with_root_certificates(self.roots()?).with_no_client_auth()
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Encrypt(provider))).with_no_client_auth()
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.root_file {
            Some(file) => {
                let unreadable = |e| Error::config("sslrootcert cannot be read").with("file", file).because(e);
                for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                    let certificate = certificate.map_err(unreadable)?;
                    roots.add(certificate).map_err(|e| {
                        Error::config("sslrootcert holds no usable certificate").with("file", file).because(e)
                    })?;
                }
            }
            None => {
                for certificate in rustls_native_certs::load_native_certs().certs {
                    // A system store may hold certificates that rustls cannot parse; the others still serve.
                    let _ = roots.add(certificate);
                }
            }
        }
        Ok(roots)
    }
}

/// Encrypts without checking who answers, as libpq's `prefer` and `require` do.
#[derive(Debug)]
struct Encrypt(Arc<CryptoProvider>);

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
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
