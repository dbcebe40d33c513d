//! Certificates: of the authority, of coordinators and of workers.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use swath_model::id::WorkerName;
use swath_model::time::Timestamp;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AUTHORITY_LIFE, IdentityError, Result, SERVER_LIFE, random};

/// How long a worker's certificate is good; it gets a new one when a third of that
/// is left.
pub const WORKER_LIFE: Duration = Duration::from_hours(24);

/// How far clocks of two machines may differ before one takes a new certificate for
/// one of the future.
const CLOCKS: Duration = Duration::from_mins(10);

/// What a worker is called in its certificate, before its name.
const WORKER_URI: &str = "swath://worker/";

/// The worker to whom a certificate was given, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerName,
    /// When the certificate was made, by the coordinator's clock.
    pub issued_at: Timestamp,
}

fn failed(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::new(format!("cannot make a certificate: {error}"))
}

fn params(name: &str, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::from(SystemTime::now());
    params.not_before = now - CLOCKS;
    params.not_after = now + life;
    params.use_authority_key_identifier_extension = true;
    params
}

/// A new authority, in PEM form, with its key.
pub(super) fn authority() -> Result<(String, KeyPair)> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = params("Swath", AUTHORITY_LIFE);
    // It signs certificates of coordinators and workers, and no other authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key))
}

/// A new certificate for a coordinator of these names, with its key.
pub(super) fn server(
    issuer: &Issuer<'_, KeyPair>,
    hosts: &[String],
) -> Result<(Certificate, KeyPair)> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = params("Swath coordinator", SERVER_LIFE);
    params.subject_alt_names = hosts.iter().map(|host| san(host)).collect::<Result<_>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, issuer).map_err(failed)?;
    Ok((certificate, key))
}

fn san(host: &str) -> Result<SanType> {
    match host.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(host.try_into().map_err(failed)?)),
    }
}

/// A certificate for the key of a request. Nothing else of the request is used: what
/// it says of its names is not its own to say.
pub(super) fn worker(
    issuer: &Issuer<'_, KeyPair>,
    request: &[u8],
    holder: &Holder,
) -> Result<CertificateDer<'static>> {
    let request = CertificateSigningRequestDer::from(request);
    let wrong = |error| IdentityError::new(format!("field `request`: {error}"));
    let mut request = CertificateSigningRequestParams::from_der(&request).map_err(wrong)?;
    let mut params = params(&format!("Swath worker {}", holder.worker), WORKER_LIFE);
    let uri = format!("{WORKER_URI}{}", holder.worker);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(failed)?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    // The serial number begins with the time: what was made before a revocation is
    // told from what was made after it.
    let mut serial = [0; 16];
    random(&mut serial[8..])?;
    serial[..8].copy_from_slice(&holder.issued_at.as_ms().to_be_bytes());
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    request.params = params;
    let certificate = request.signed_by(issuer).map_err(failed)?;
    Ok(certificate.der().clone())
}

/// The worker to whom a certificate was given, which was verified before; none if it
/// is no worker's.
pub fn holder(certificate: &CertificateDer<'_>) -> Option<Holder> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??.value;
    let [GeneralName::URI(uri)] = names.general_names.as_slice() else {
        return None;
    };
    let serial = certificate.raw_serial();
    // A leading zero is left out.
    let mut whole = [0; 16];
    let from = whole.len().checked_sub(serial.len())?;
    whole[from..].copy_from_slice(serial);
    let issued_at = i64::from_be_bytes(whole[..8].try_into().ok()?);
    Some(Holder {
        worker: uri.strip_prefix(WORKER_URI)?.parse().ok()?,
        issued_at: Timestamp::from_ms(issued_at),
    })
}

/// Whether a certificate is good now and at least so long from now on.
pub(super) fn is_fresh(certificate: &CertificateDer<'_>, least: Duration) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let left = certificate.validity().time_to_expiration();
    left.is_some_and(|left| left > time::Duration::try_from(least).unwrap_or_default())
}

/// When a certificate ends.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_ms(seconds.saturating_mul(1000)))
}

/// The hosts that a certificate names, in order.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let read = || {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??.value;
        let names = names.general_names.iter().map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => String::new(),
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        Some(names)
    };
    read().unwrap_or_default()
}

fn address(bytes: &[u8]) -> String {
    let four: Option<[u8; 4]> = bytes.try_into().ok();
    let sixteen: Option<[u8; 16]> = bytes.try_into().ok();
    let four = four.map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    let sixteen = || sixteen.map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
    four.or_else(sixteen).unwrap_or_default()
}
