//! Certificates and keys: read from PEM texts or files, and read again for a reload. Knows no handshake.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::TlsError;

/// The certificate of this end, with its chain, and its private key. Cheap to clone. `Debug` does not print the key.
#[derive(Clone)]
pub struct Identity {
    certificates: Text,
    key: Text,
}

/// The certificates of the CAs that the peer's certificate may be signed by. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Roots(Text);

/// A PEM text, and the file it was read from, if any.
#[derive(Clone, PartialEq)]
struct Text {
    pem: Arc<[u8]>,
    path: Option<Arc<Path>>,
}

impl Identity {
    /// Returns the identity of a certificate, followed by the intermediate certificates of its chain, and its private key
    /// (PKCS #8, PKCS #1 or SEC 1), each as PEM.
    ///
    /// # Errors
    /// A text is not valid PEM, or it contains no certificate or no key.
    pub fn from_pem(certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self { certificates: Text::new(certificates.as_ref()), key: Text::new(key.as_ref()) }.checked()
    }

    /// As [`from_pem`](Self::from_pem), from files, which a reload reads again.
    ///
    /// # Errors
    /// As those of `from_pem`; a file cannot be read.
    pub fn from_files(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        Self { certificates: Text::read(certificates.into())?, key: Text::read(key.into())? }.checked()
    }

    fn checked(self) -> Result<Self, TlsError> {
        self.parts()?;
        Ok(self)
    }

    pub(crate) fn parts(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let certificates = self.certificates.certificates()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.pem).map_err(|error| match error {
            PemError::NoItemsFound => TlsError::NoKey { from: self.key.name("the private key") },
            error => self.key.invalid("the private key", &error),
        })?;
        Ok((certificates, key))
    }

    /// Returns the name of the certificate's source, for errors.
    pub(crate) fn name(&self) -> String {
        self.certificates.name("the certificate")
    }

    /// Reads the files again; `None` if nothing has changed.
    pub(crate) fn reread(&self) -> Result<Option<Self>, TlsError> {
        let read = Self { certificates: self.certificates.reread()?, key: self.key.reread()? };
        let same = read.certificates == self.certificates && read.key == self.key;
        if same { Ok(None) } else { read.checked().map(Some) }
    }
}

impl Roots {
    /// Returns the CAs of a PEM text.
    ///
    /// # Errors
    /// The text is not valid PEM, or contains no certificate.
    pub fn from_pem(certificates: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self(Text::new(certificates.as_ref())).checked()
    }

    /// As [`from_pem`](Self::from_pem), from a file, which a reload reads again. The CAs of the system are usually in
    /// `/etc/ssl/certs/ca-certificates.crt`.
    ///
    /// # Errors
    /// As those of `from_pem`; the file cannot be read.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, TlsError> {
        Self(Text::read(path.into())?).checked()
    }

    fn checked(self) -> Result<Self, TlsError> {
        self.store()?;
        Ok(self)
    }

    pub(crate) fn store(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut store = RootCertStore::empty();
        // A bundle of a system may have certificates that are not supported.
        let (added, _) = store.add_parsable_certificates(self.0.certificates()?);
        if added == 0 {
            return Err(TlsError::NoCertificate { from: self.0.name("the roots") });
        }
        Ok(Arc::new(store))
    }

    /// Returns the name of the source, for errors.
    pub(crate) fn name(&self) -> String {
        self.0.name("the roots")
    }

    /// Reads the file again; `None` if nothing has changed.
    pub(crate) fn reread(&self) -> Result<Option<Self>, TlsError> {
        let read = self.0.reread()?;
        if read == self.0 { Ok(None) } else { Self(read).checked().map(Some) }
    }
}

impl Text {
    fn new(pem: &[u8]) -> Self {
        Self { pem: pem.into(), path: None }
    }

    fn read(path: PathBuf) -> Result<Self, TlsError> {
        match fs::read(&path) {
            Ok(pem) => Ok(Self { pem: pem.into(), path: Some(path.into()) }),
            Err(source) => Err(TlsError::Read { path, source }),
        }
    }

    fn reread(&self) -> Result<Self, TlsError> {
        match &self.path {
            Some(path) => Self::read(path.to_path_buf()),
            None => Ok(self.clone()),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.pem).collect();
        let certificates = certificates.map_err(|error| self.invalid("the certificates", &error))?;
        match certificates.is_empty() {
            true => Err(TlsError::NoCertificate { from: self.name("the certificates") }),
            false => Ok(certificates),
        }
    }

    fn name(&self, what: &str) -> String {
        self.path.as_deref().map_or_else(|| what.to_owned(), |path| path.display().to_string())
    }

    fn invalid(&self, what: &str, error: &PemError) -> TlsError {
        TlsError::Invalid { from: self.name(what), reason: error.to_string() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.fmt(f),
            None => write!(f, "{} bytes", self.pem.len()),
        }
    }
}
