//! Downloads over HTTP that survive network problems: an interrupted download
//! continues where it stopped; a silent one is given up and tried again.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use swath_model::text;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::parallel::{LOOK, Progress};
use crate::{output, process};

/// Why a file could not be downloaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server has no such file, or none for this client.
    Absent(String),
    /// Anything else; what was received is kept for the next try.
    Failed(String),
    /// SIGTERM came.
    Stopped,
}

/// Why one try ended.
enum Ended {
    /// Another try may succeed.
    Again(String),
    For(Trouble),
}

/// Times and limits, which tests may shorten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Limit for reaching the server, or its proxy.
    pub(super) connect: Duration,
    /// Limit between two pieces of an answer.
    pub(super) silence: Duration,
    /// Pause before the second try; doubled before each further one.
    pub(super) pause: Duration,
    /// How many tries in a row may bring nothing new.
    pub(super) tries: u32,
    /// The most bytes of a file; published data sets have a fraction of it.
    pub(super) bytes: u64,
}

impl Patience {
    /// The values outside of tests.
    pub(super) const USUAL: Self = Self {
        connect: Duration::from_secs(20),
        silence: Duration::from_secs(30),
        pause: Duration::from_secs(1),
        tries: 5,
        bytes: 4 << 30,
    };
}

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Where systems keep the certificates that they trust.
const CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A client; its proxies are those of the environment.
pub(super) struct Client {
    agent: Agent,
    patience: Patience,
}

impl Client {
    /// A client without connections yet.
    pub(super) fn new(patience: Patience) -> Self {
        // A machine may trust its own proxy; a bare container has no list.
        let own = std::env::var_os("SSL_CERT_FILE").is_some()
            || CERTIFICATES.iter().any(|path| Path::new(path).exists());
        let roots = if own {
            RootCerts::PlatformVerifier
        } else {
            RootCerts::WebPki
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("swath-trainer/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        Self {
            agent: config.build().new_agent(),
            patience,
        }
    }

    /// The most bytes of a file.
    pub(super) fn bytes_max(&self) -> u64 {
        self.patience.bytes
    }

    /// Downloads `url` to `part`, which may already have its beginning.
    ///
    /// # Errors
    ///
    /// [`Trouble`] with the address, once trying again is useless.
    pub(super) fn fetch(&self, url: &str, part: &Path) -> Result<(), Trouble> {
        let mut most = length(part);
        let mut futile = 0;
        loop {
            let what = match self.attempt(url, part) {
                Ok(()) => return Ok(()),
                Err(Ended::For(trouble)) => return Err(trouble),
                Err(Ended::Again(what)) => what,
            };
            let now = length(part);
            if now > most {
                most = now;
                futile = 0;
            }
            futile += 1;
            if futile >= self.patience.tries {
                let kept = match now {
                    0 => String::new(),
                    _ => format!("; {now} bytes are kept in {} for next time", part.display()),
                };
                return Err(Trouble::Failed(format!(
                    "{url}: {what}; given up after {futile} tries{kept}"
                )));
            }
            let pause = self.patience.pause * 2_u32.saturating_pow(futile - 1);
            output::message(&format!("{url}: {what}; trying again in {pause:?}"));
            wait(pause)?;
        }
    }

    fn attempt(&self, url: &str, part: &Path) -> Result<(), Ended> {
        let mark = mark(part);
        let have = length(part);
        let tag = fs::read_to_string(&mark).ok().filter(|_| have > 0);
        let mut request = self.agent.get(url);
        if let Some(tag) = &tag {
            request = request
                .header(header::RANGE, format!("bytes={have}-"))
                .header(header::IF_RANGE, tag);
        }
        let response = request.call().map_err(|error| of_error(url, &error))?;
        let start = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers()) == Some(have) => have,
            // The file has changed, or the server counts differently.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                forget(part);
                return Err(Ended::Again(format!(
                    "it cannot go on at byte {have}; starting over"
                )));
            }
            status => return Err(of_status(url, status)),
        };
        let unwritten = |error: std::io::Error| {
            let what = format!("{url}: cannot write {}: {error}", part.display());
            Ended::For(Trouble::Failed(what))
        };
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(part)
            .map_err(unwritten)?;
        file.set_len(start).map_err(unwritten)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start)).map_err(unwritten)?;
        match validator(response.headers()) {
            Some(tag) => fs::write(&mark, tag).map_err(unwritten)?,
            None => drop(fs::remove_file(&mark)),
        }
        let limit = self.patience.bytes;
        receive(url, response, [start, limit], &mut file, unwritten).inspect_err(|ended| {
            if matches!(ended, Ended::For(Trouble::Failed(_))) && length(part) > limit {
                forget(part);
            }
        })
    }
}

/// Copies the body to `file`, which already has the first `start` bytes, up to
/// `limit` bytes.
fn receive(
    url: &str,
    response: Response<Body>,
    [start, limit]: [u64; 2],
    file: &mut File,
    unwritten: impl Fn(std::io::Error) -> Ended,
) -> Result<(), Ended> {
    let announced = response.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let total = announced.map(|length| start.saturating_add(length));
    let mut progress = Progress::new();
    let mut reader = response.into_body().into_reader();
    let mut piece = vec![0; PIECE];
    let mut have = start;
    loop {
        if process::stop_requested() {
            return Err(Ended::For(Trouble::Stopped));
        }
        let count = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(Ended::Again(format!("{error} after {have} bytes"))),
        };
        file.write_all(&piece[..count]).map_err(&unwritten)?;
        have += count as u64;
        if have > limit {
            let most = text::bytes(limit);
            let what = format!("{url}: it has more than {most}, which no data set here has");
            return Err(Ended::For(Trouble::Failed(what)));
        }
        progress.tick(|| match total {
            Some(total) => format!("fetching {url}: {} of {}", mebi(have), mebi(total)),
            None => format!("fetching {url}: {}", mebi(have)),
        });
    }
    match total {
        Some(total) if have != total => Err(Ended::Again(format!(
            "it ended after {have} of {total} bytes"
        ))),
        _ => file.sync_all().map_err(unwritten),
    }
}

/// Removes what was received of a file.
pub(super) fn forget(part: &Path) {
    let _ = fs::remove_file(part);
    let _ = fs::remove_file(mark(part));
}

/// The path of the validator for what was received.
pub(super) fn mark(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".tag");
    PathBuf::from(name)
}

/// What shows that a file is still the same: a strong ETag, or its date (RFC
/// 9110, 13.1.5).
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    let strong = text(header::ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(header::LAST_MODIFIED))
}

/// The first byte of a partial answer: `bytes 5-9/10`.
fn starts_at(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

fn of_status(url: &str, status: StatusCode) -> Ended {
    match status {
        // Stores that do not list their files to everyone answer "forbidden"
        // for files that they do not have.
        StatusCode::NOT_FOUND
        | StatusCode::GONE
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN => Ended::For(Trouble::Absent(format!("{url}: {status}"))),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Ended::Again(status.to_string())
        }
        _ if status.is_server_error() => Ended::Again(status.to_string()),
        _ => Ended::For(Trouble::Failed(format!("{url}: {status}"))),
    }
}

fn of_error(url: &str, error: &ureq::Error) -> Ended {
    match error {
        ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => {
            Ended::Again(error.to_string())
        }
        // No name, no certificate, a wrong address: it may work later.
        _ => Ended::For(Trouble::Failed(format!("{url}: {error}"))),
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn mebi(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn wait(pause: Duration) -> Result<(), Trouble> {
    let end = Instant::now() + pause;
    loop {
        if process::stop_requested() {
            return Err(Trouble::Stopped);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
    }
}

#[cfg(test)]
pub(super) mod tests;
