//! The URL under which other machines reach a coordinator.

use std::net::SocketAddr;
use std::time::Duration;

/// How long the name service may take: a start does not wait for a broken one.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);

/// The URL by which others reach the coordinator that listens at `address`: the
/// given one, otherwise the address. Nobody can connect to the wildcard address,
/// so the name of this host replaces it, if that name can be resolved.
pub(super) async fn url(given: Option<String>, address: SocketAddr, secured: bool) -> String {
    if let Some(given) = given {
        return given;
    }
    let scheme = if secured { "https" } else { "http" };
    if address.ip().is_unspecified()
        && let Ok(host) = hostname::get()
        && let Some(host) = host.to_str()
        && resolves(host, address.port()).await
    {
        return format!("{scheme}://{host}:{}", address.port());
    }
    format!("{scheme}://{address}")
}

async fn resolves(host: &str, port: u16) -> bool {
    let lookup = tokio::net::lookup_host((host, port));
    let found = tokio::time::timeout(LOOKUP_DEADLINE, lookup).await;
    found.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wildcard_address_is_told_to_nobody_who_has_a_name() {
        let at = |address: &str| address.parse::<SocketAddr>().unwrap();
        let given = Some("http://head:1".to_owned());
        assert_eq!(url(given, at("0.0.0.0:7070"), true).await, "http://head:1");
        assert_eq!(
            url(None, at("10.0.0.1:7"), true).await,
            "https://10.0.0.1:7"
        );
        let told = url(None, at("0.0.0.0:7070"), false).await;
        let host = hostname::get().unwrap().into_string().unwrap();
        let expected = if resolves(&host, 7070).await {
            format!("http://{host}:7070")
        } else {
            "http://0.0.0.0:7070".to_owned()
        };
        assert_eq!(told, expected);
    }
}
