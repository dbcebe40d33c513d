//! Where a coordinator is.

use tonic::transport::Endpoint;

/// Where a coordinator listens unless it is told otherwise.
pub const COORDINATOR_DEFAULT: &str = "http://127.0.0.1:7070";

/// A text that is no coordinator's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It asks for TLS.
    #[error("this version speaks no TLS; use an http:// URL inside a trusted network or a tunnel")]
    Tls,
    /// It is something else, for the reason in the text, if there is one.
    #[error("it is no coordinator's URL{0}; write it like {COORDINATOR_DEFAULT}")]
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

/// What is dialled for a coordinator's URL as typed; a bare `HOST:PORT` will do.
///
/// # Errors
///
/// When it is another URL, or none.
pub fn endpoint(text: &str) -> Result<Endpoint, AddressError> {
    let text = text.trim().trim_end_matches('/');
    let url = match text.split_once("://") {
        Some(("https", _)) => return Err(AddressError::Tls),
        Some(("http", _)) => text.to_owned(),
        None if !text.is_empty() => format!("http://{text}"),
        _ => return Err(AddressError::Wrong(String::new())),
    };
    Endpoint::from_shared(url).map_err(|error| AddressError::Wrong(format!(": {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_may_lack_their_scheme() {
        let url = |text| url_of(text).ok();
        assert_eq!(url("localhost:7070/"), Some("http://localhost:7070".into()));
        assert_eq!(url("http://h:1"), Some("http://h:1".into()));
        assert_eq!(url_of("https://h:1"), Err(AddressError::Tls));
        for wrong in ["", "ftp://h", "http://a b"] {
            let error = url_of(wrong).unwrap_err().to_string();
            assert!(error.starts_with("it is no coordinator's URL"), "{error}");
        }
    }
}
