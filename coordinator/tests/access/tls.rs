//! Who is let through the handshake (ST-02), on both sides.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use swath_model::access::Role;
use swath_proto::secure::{ALPN, Caller, provider};
use swath_proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::site::{SOON, Site};

/// With this, and settings that say nothing, HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HOUR: time::Duration = time::Duration::HOUR;

/// What a worker's certificate says, unless something about it is wrong.
fn of_worker() -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = SanType::URI("swath://worker/gpu1".try_into().unwrap());
    params.subject_alt_names = vec![name];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&[1; 16]));
    let now = time::OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - HOUR, now + HOUR);
    params
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn signed(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> ChainAndKey {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (vec![certificate.der().clone()], key)
}

fn other_authority() -> (Issuer<'static, KeyPair>, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (
        Issuer::from_ca_cert_der(&certificate, key).unwrap(),
        certificate,
    )
}

/// The site's own authority, as its coordinator signs with it.
fn own_authority(site: &Site) -> (Issuer<'static, KeyPair>, CertificateDer<'static>) {
    let read = |name| std::fs::read_to_string(site.identity().join(name)).unwrap();
    let certificate = CertificateDer::from_pem_slice(read("ca.pem").as_bytes()).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    (
        Issuer::from_ca_cert_der(&certificate, key).unwrap(),
        certificate,
    )
}

/// Whether the coordinator goes on talking to somebody who shows this certificate.
async fn talks(
    site: &Site,
    shown: Option<ChainAndKey>,
    version: &'static SupportedProtocolVersion,
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(own_authority(site).1).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    let talk = async {
        let socket = TcpStream::connect(site.address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await?;
        // The other side answers with its own settings.
        stream.write_all(PREFACE).await?;
        stream.read_u8().await
    };
    let talked = tokio::time::timeout(SOON, talk)
        .await
        .expect("it is told at once");
    talked.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_takes_only_certificates_that_it_gave() {
    let site = Site::start().await;
    let (own, authority) = own_authority(&site);
    let (other, _) = other_authority();
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = of_worker();
        change(&mut params);
        Some(signed(&params, &own))
    };
    let key = KeyPair::generate().unwrap();
    let alone = of_worker().self_signed(&key).unwrap();
    let alone = (
        vec![alone.der().clone()],
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    );
    let v13 = &rustls::version::TLS13;
    let now = time::OffsetDateTime::now_utc();
    let cases = [
        ("none: a person", None, true),
        ("a worker's", with(&|_| {}), true),
        ("signed by itself", Some(alone), false),
        (
            "of another authority",
            Some(signed(&of_worker(), &other)),
            false,
        ),
        (
            "expired",
            with(&|it| it.not_after = now - time::Duration::MINUTE),
            false,
        ),
        (
            "not good yet",
            with(&|it| it.not_before = now + time::Duration::MINUTE),
            false,
        ),
        (
            "for servers",
            with(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            false,
        ),
        (
            "of no worker",
            with(&|it| it.subject_alt_names = vec![SanType::DnsName("gpu1".try_into().unwrap())]),
            false,
        ),
        (
            "of another scheme",
            with(&|it| {
                it.subject_alt_names = vec![SanType::URI("swath://admin/gpu1".try_into().unwrap())];
            }),
            false,
        ),
        (
            "of two workers",
            with(&|it| {
                let second = SanType::URI("swath://worker/gpu2".try_into().unwrap());
                it.subject_alt_names.push(second);
            }),
            false,
        ),
    ];
    for (what, shown, expected) in cases {
        assert_eq!(talks(&site, shown, v13).await, expected, "{what}");
    }
    let old = with(&|_| {});
    assert!(!talks(&site, old, &rustls::version::TLS12).await, "TLS 1.2");
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_without_encryption() {
    let site = Site::start().await;
    let mut plain = TcpStream::connect(site.address()).await.unwrap();
    plain.write_all(PREFACE).await.unwrap();
    let mut heard = Vec::new();
    let listening = plain.read_to_end(&mut heard);
    let _closed = tokio::time::timeout(SOON, listening).await.unwrap();
    // At most the alert of TLS that this is none.
    assert!(matches!(heard.first(), None | Some(21)), "{heard:?}");
}

/// A server with this certificate; what its clients send after the handshake.
async fn impostor(shown: ChainAndKey) -> (std::net::SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth();
    let mut config = config.with_single_cert(shown.0, shown.1).unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(socket).await {
            let reading = stream.read_to_end(&mut heard);
            let _over = tokio::time::timeout(Duration::from_secs(2), reading).await;
        }
        heard
    });
    (address, heard)
}

/// A token goes to the coordinator whose authority it names, and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_knows_its_coordinator() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer, "vic").await;
    let (own, authority) = own_authority(&site);
    let (other, its_authority) = other_authority();
    let server = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = of_worker();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        params
    };
    let followed = |(mut chain, key): ChainAndKey, by: &CertificateDer<'static>| {
        chain.push(by.clone());
        (chain, key)
    };
    let past = time::OffsetDateTime::now_utc() - time::Duration::MINUTE;
    let of_own = |change: &dyn Fn(&mut CertificateParams)| {
        followed(signed(&server(change), &own), &authority)
    };
    let cases = [
        ("the right one", of_own(&|_| {}), true),
        (
            "another authority",
            followed(signed(&server(&|_| {}), &other), &its_authority),
            false,
        ),
        (
            "another authority beside the right one",
            followed(signed(&server(&|_| {}), &other), &authority),
            false,
        ),
        (
            "another name",
            of_own(&|it| it.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 2].into())]),
            false,
        ),
        ("expired", of_own(&|it| it.not_after = past), false),
        // A worker must not be taken for the coordinator.
        (
            "a worker's",
            of_own(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            false,
        ),
    ];
    for (what, shown, expected) in cases {
        let (address, heard) = impostor(shown).await;
        let endpoint = swath_proto::address::endpoint(&format!("https://{address}")).unwrap();
        let line = Caller::with_token(&token).line_lazy(&endpoint);
        let mut control = v1::control_client::ControlClient::new(line);
        let query = "{}".to_owned();
        let asked = control.read(v1::ReadRequest { query });
        let _unanswered = tokio::time::timeout(SOON, asked).await;
        let heard = heard.await.unwrap();
        assert_eq!(!heard.is_empty(), expected, "{what}");
    }
}
