//! The URLs of coordinators, and which of them is asked next.

use std::collections::VecDeque;
use std::net::IpAddr;

use tonic::transport::Endpoint;

/// The URL of the coordinator unless another one is given.
pub const COORDINATOR_DEFAULT: &str = "http://127.0.0.1:7070";

/// A text that is not the URL of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text gives the reason, if there is one.
    #[error("it is not the URL of a coordinator{0}; write it like {COORDINATOR_DEFAULT}")]
    Wrong(String),
}

/// The URL of the coordinator that `text` names.
///
/// # Errors
///
/// As [`endpoint`].
pub fn url_of(text: &str) -> Result<String, AddressError> {
    let url = endpoint(text)?.uri().to_string();
    Ok(url.trim_end_matches('/').to_owned())
}

/// The URLs of the coordinators that `text` names, separated by commas, each
/// once.
///
/// # Errors
///
/// When one of them is a URL of another kind, or not a URL.
pub fn urls_of(text: &str) -> Result<Vec<String>, AddressError> {
    let mut urls = Vec::new();
    for url in text.split(',') {
        let url = url_of(url)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Ok(urls)
}

/// The endpoint to dial for a coordinator's URL as typed; `HOST:PORT` is enough.
///
/// # Errors
///
/// When it is a URL of another kind, or not a URL.
pub fn endpoint(text: &str) -> Result<Endpoint, AddressError> {
    let text = text.trim().trim_end_matches('/');
    let url = match text.split_once("://") {
        Some(("https" | "http", _)) => text.to_owned(),
        None if !text.is_empty() => format!("http://{text}"),
        _ => return Err(AddressError::Wrong(String::new())),
    };
    Endpoint::from_shared(url).map_err(|error| AddressError::Wrong(format!(": {error}")))
}

/// How many coordinators one call may ask beyond the list, because standbys
/// named them.
const NAMED_MAX: usize = 4;

/// The order in which one call asks coordinators until one carries it out. Each is
/// asked once: first the one that answered last, then the others of the list in
/// turn. A coordinator that a standby names as the leader is asked next.
#[derive(Clone, Debug)]
pub struct Walk {
    open: VecDeque<String>,
    asked: Vec<String>,
    most: usize,
}

impl Walk {
    /// A walk over `list` that begins with `first`, which need not be in the
    /// list.
    pub fn new(list: &[String], first: &str) -> Self {
        let at = list.iter().position(|url| url == first);
        let (before, after) = list.split_at(at.unwrap_or(0));
        let other = at.is_none().then(|| first.to_owned());
        let rest = after.iter().chain(before).cloned();
        Self {
            open: other.into_iter().chain(rest).collect(),
            asked: Vec::new(),
            most: list.len() + NAMED_MAX,
        }
    }

    /// Notes that the coordinator asked last stands by and names `leader`. A
    /// leader that was asked already gets no second turn: it is away, or does
    /// not lead any more.
    pub fn named(&mut self, leader: &str) {
        let (Ok(leader), Some(by)) = (url_of(leader), self.asked.last()) else {
            return;
        };
        let again = self.asked.contains(&leader) || self.asked.len() >= self.most;
        if again || !may_follow(by, &leader) {
            return;
        }
        self.open.retain(|url| *url != leader);
        self.open.push_front(leader);
    }
}

impl Iterator for Walk {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let url = self.open.pop_front()?;
        self.asked.push(url.clone());
        Some(url)
    }
}

/// Whether an address that the coordinator at `by` gives as `leader` means the
/// same here. A loopback address of another host does not: another coordinator
/// may listen on this host's.
fn may_follow(by: &str, leader: &str) -> bool {
    is_near(by) || !is_near(leader)
}

/// Whether a URL points to the host that uses it.
pub fn is_near(url: &str) -> bool {
    let Ok(endpoint) = endpoint(url) else {
        return false;
    };
    let host = endpoint.uri().host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| format!("http://{url}")).collect()
    }

    #[test]
    fn several_urls_are_a_list() {
        let urls = urls_of("a:1, http://b:2/,a:1").unwrap();
        assert_eq!(urls, list(&["a:1", "b:2"]));
        for wrong in ["", "a:1,", "a:1,ftp://b:1"] {
            assert!(urls_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_coordinator_has_one_turn_from_the_last_that_answered_on() {
        let urls = list(&["a", "b", "c"]);
        let from = |first: &str| Walk::new(&urls, first).collect::<Vec<_>>();
        assert_eq!(from("http://b"), list(&["b", "c", "a"]));
        assert_eq!(from("http://other"), list(&["other", "a", "b", "c"]));
    }

    #[test]
    fn whom_a_standby_names_is_next_and_once() {
        let mut walk = Walk::new(&list(&["a", "b", "c"]), "http://a");
        walk.next();
        walk.named("http://c/");
        assert_eq!(walk.next().as_deref(), Some("http://c"));
        // It does not lead any more, and names one that has just been asked.
        walk.named("http://a");
        walk.named("ftp://d");
        assert_eq!(walk.next().as_deref(), Some("http://b"));
        walk.named("http://c");
        walk.named("http://d");
        assert_eq!(walk.next().as_deref(), Some("http://d"));
        assert_eq!(walk.next(), None);
    }

    #[test]
    fn standbys_cannot_send_anybody_round_for_ever() {
        let mut walk = Walk::new(&list(&["a"]), "http://a");
        let mut asked = 0;
        while walk.next().is_some() {
            asked += 1;
            walk.named(&format!("http://more{asked}"));
        }
        assert_eq!(asked, 1 + NAMED_MAX);
    }

    #[test]
    fn the_loopback_of_another_host_is_not_followed() {
        for (by, leader, follows) in [
            ("http://head:1", "http://127.0.0.1:1", false),
            ("http://head:1", "http://0.0.0.0:1", false),
            ("http://head:1", "http://[::]:1", false),
            ("http://head:1", "http://localhost:1", false),
            ("http://head:1", "http://other:1", true),
            ("http://127.0.0.1:2", "http://127.0.0.1:1", true),
            ("http://localhost:2", "http://[::1]:1", true),
        ] {
            assert_eq!(may_follow(by, leader), follows, "{by} {leader}");
        }
    }

    #[test]
    fn urls_may_lack_their_scheme() {
        let url = |text| url_of(text).ok();
        assert_eq!(url("localhost:7070/"), Some("http://localhost:7070".into()));
        assert_eq!(url("http://h:1"), Some("http://h:1".into()));
        assert_eq!(url("https://h:1/"), Some("https://h:1".into()));
        for wrong in ["", "ftp://h", "http://a b"] {
            let error = url_of(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("it is not the URL of a coordinator"),
                "{error}"
            );
        }
    }
}
