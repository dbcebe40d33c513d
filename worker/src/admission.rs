//! How a worker becomes known to coordinators that others reach over a network: it
//! has its key signed for a token, keeps the certificate in its state directory, and
//! has a new one made before the old one expires.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use swath_model::id::WorkerName;
use swath_proto::address::{Walk, endpoint};
use swath_proto::limits;
use swath_proto::refusal::Refusal;
use swath_proto::secure::{Caller, Certificate, TokenFileError, fingerprint, read_token};
use swath_proto::v1::EnrolRequest;
use swath_proto::v1::admission_client::AdmissionClient;
use tonic::{Code, Status};

/// The file in the state directory; only its owner can read it.
const FILE: &str = "certificate.json";
/// How long to wait before a call that nobody answered is made again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long before a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_mins(1);

/// Why a worker is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// There is no token.
    #[error(
        "the coordinator at {0} is reached over a network, and this worker has neither a token \
         nor a certificate that is still good; name the file of a token with --token-file (an \
         admin makes one with `coordinator token create --role worker`)"
    )]
    NoToken(String),
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenFileError),
    /// A coordinator refused it.
    #[error("{url} does not let this worker in: {why}")]
    Refused {
        /// The coordinator.
        url: String,
        /// What it said.
        why: String,
    },
    /// The certificate cannot be kept.
    #[error("cannot keep the certificate in {path}: {error}")]
    Unkept {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something else is wrong.
    #[error("cannot get a certificate: {0}")]
    Other(String),
}

/// What a worker needs to be let in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The coordinators that may be asked.
    pub coordinators: Vec<String>,
    /// Where the certificate is kept.
    pub state_dir: PathBuf,
    /// The file with a token, if there is one.
    pub token_file: Option<PathBuf>,
    /// The worker.
    pub worker: WorkerName,
}

/// A certificate as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// In DER form, as hex digits: the worker's own, then that of the authority.
    chain: Vec<String>,
    key: String,
    /// For whom it is.
    worker: String,
    /// From when until when, in seconds since 1970 on this machine's clock.
    from_s: u64,
    until_s: u64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({}, until {})", self.worker, self.until_s)
    }
}

impl Kept {
    fn is_good(&self) -> bool {
        now_s() < self.until_s
    }

    /// When to have a new one made: when a third of its life is left.
    const fn renew_at_s(&self) -> u64 {
        self.until_s - self.until_s.saturating_sub(self.from_s) / 3
    }

    fn chain(&self) -> Result<Vec<Vec<u8>>, AdmissionError> {
        self.chain.iter().map(|it| bytes(it)).collect()
    }

    fn authority(&self) -> Result<[u8; 32], AdmissionError> {
        let chain = self.chain()?;
        let authority = chain.last();
        let missing = || AdmissionError::Other("the certificate has no authority".to_owned());
        Ok(fingerprint(authority.ok_or_else(missing)?))
    }

    fn show(&self, certificate: &Certificate) -> Result<(), AdmissionError> {
        certificate
            .show(self.chain()?, bytes(&self.key)?)
            .map_err(other)
    }
}

/// Who this worker is to its coordinators, and what keeps that up.
#[derive(Debug)]
pub struct Admitted {
    /// For its connections.
    pub caller: Caller,
    kept: Option<(Kept, Certificate)>,
}

impl Admission {
    /// Whether a coordinator among them is reached over a network.
    fn is_needed(&self) -> bool {
        self.coordinators
            .iter()
            .any(|url| url.starts_with("https://"))
    }

    /// Shows the certificate that is kept or, where there is none, has one made. Waits
    /// for a coordinator that does not answer.
    ///
    /// # Errors
    ///
    /// When it is refused, or has nothing to show.
    pub async fn seek(&self) -> Result<Admitted, AdmissionError> {
        if !self.is_needed() {
            return Ok(Admitted {
                caller: Caller::default(),
                kept: None,
            });
        }
        let kept = match self.kept() {
            Some(kept) => self.still_good(kept).await?,
            None => self.enrol_for_token().await?,
        };
        let certificate = Certificate::default();
        kept.show(&certificate)?;
        Ok(Admitted {
            caller: Caller::with_certificate(kept.authority()?, certificate.clone()),
            kept: Some((kept, certificate)),
        })
    }

    /// The certificate of an earlier life, made anew; the old one where nobody answers.
    /// If it is not taken any more, a token may be.
    async fn still_good(&self, kept: Kept) -> Result<Kept, AdmissionError> {
        let certificate = Certificate::default();
        kept.show(&certificate)?;
        let caller = Caller::with_certificate(kept.authority()?, certificate);
        match self.enrol(&caller).await {
            Ok(fresh) => Ok(fresh),
            Err(Tried::Unanswered(_)) => Ok(kept),
            Err(Tried::Ended(error)) if self.token_file.is_none() => Err(error),
            Err(Tried::Ended(_)) => self.enrol_for_token().await,
        }
    }

    fn path(&self) -> PathBuf {
        self.state_dir.join(FILE)
    }

    /// The certificate of an earlier life, if it is still good, for this worker, and of
    /// the authority that the token names.
    fn kept(&self) -> Option<Kept> {
        let text = std::fs::read_to_string(self.path()).ok()?;
        let kept: Kept = serde_json::from_str(&text).ok()?;
        let token = self
            .token_file
            .as_ref()
            .and_then(|path| read_token(path).ok());
        let authority = kept.authority().ok()?;
        let same = token.is_none_or(|token| *token.authority() == authority);
        (kept.is_good() && kept.worker == self.worker.as_str() && same).then_some(kept)
    }

    async fn enrol_for_token(&self) -> Result<Kept, AdmissionError> {
        let Some(path) = &self.token_file else {
            return Err(AdmissionError::NoToken(self.coordinators.join(", ")));
        };
        let caller = Caller::with_token(&read_token(path)?);
        let mut told = String::new();
        loop {
            match self.enrol(&caller).await {
                Err(Tried::Unanswered(why)) => {
                    if why != told {
                        tracing::warn!("no coordinator answers yet: {why}");
                        told = why;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                Err(Tried::Ended(error)) => return Err(error),
                Ok(kept) => {
                    tracing::info!(worker = %self.worker, "the coordinator has let this worker in");
                    return Ok(kept);
                }
            }
        }
    }

    /// Has a new key signed, by the first coordinator that does so.
    async fn enrol(&self, caller: &Caller) -> Result<Kept, Tried> {
        let key = KeyPair::generate().map_err(other)?;
        let request = CertificateParams::default().serialize_request(&key);
        let request = EnrolRequest {
            worker: self.worker.to_string(),
            request: request.map_err(other)?.der().to_vec(),
        };
        let first = self.coordinators.first().map_or("", String::as_str);
        let mut walk = Walk::new(&self.coordinators, first);
        let mut vain = Vec::new();
        while let Some(url) = walk.next() {
            let asked_at = now_s();
            let asked = ask(caller, &url, request.clone());
            let asked = tokio::time::timeout(limits::CALL_DEADLINE, asked).await;
            let status = match asked {
                Ok(Ok(reply)) => {
                    let kept = Kept {
                        chain: reply.chain.iter().map(|it| HEXLOWER.encode(it)).collect(),
                        key: HEXLOWER.encode(key.serialized_der()),
                        worker: self.worker.to_string(),
                        from_s: asked_at,
                        until_s: asked_at + reply.life_ms / 1000,
                    };
                    self.keep(&kept)?;
                    return Ok(kept);
                }
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer"),
            };
            match Refusal::of(&status) {
                Refusal::Unanswered(why) => vain.push(format!("{url}: {why}")),
                Refusal::Elsewhere { leader, message } => {
                    vain.push(format!("{url}: {message}"));
                    if let Some(leader) = leader {
                        walk.named(&leader);
                    }
                }
                Refusal::Refused(_) if status.code() == Code::Internal => {
                    vain.push(format!("{url}: {}", status.message()));
                }
                Refusal::Refused(_) => {
                    let why = status.message().to_owned();
                    return Err(AdmissionError::Refused { url, why }.into());
                }
            }
        }
        Err(Tried::Unanswered(vain.join("; ")))
    }

    /// Keeps a certificate for the next life, whole or not at all.
    fn keep(&self, kept: &Kept) -> Result<(), AdmissionError> {
        let path = self.path();
        let written = || {
            std::fs::create_dir_all(&self.state_dir)?;
            let draft = path.with_extension("new");
            // One that is left over may be readable by others.
            let _absent = std::fs::remove_file(&draft);
            let mut options = File::options();
            let options = options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(&draft)?;
            file.write_all(serde_json::to_string(kept)?.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        written().map_err(|error| AdmissionError::Unkept { path, error })
    }
}

/// Why a call brought no certificate.
enum Tried {
    /// Nobody answered; that may pass.
    Unanswered(String),
    /// It is of no use to try again.
    Ended(AdmissionError),
}

impl From<AdmissionError> for Tried {
    fn from(error: AdmissionError) -> Self {
        Self::Ended(error)
    }
}

async fn ask(
    caller: &Caller,
    url: &str,
    request: EnrolRequest,
) -> Result<swath_proto::v1::EnrolReply, Status> {
    let endpoint = endpoint(url).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let endpoint = endpoint.connect_timeout(limits::CONNECT_DEADLINE);
    let mut client = AdmissionClient::new(caller.line_lazy(&endpoint));
    Ok(client.enrol(request).await?.into_inner())
}

impl Admitted {
    /// Has a new certificate made whenever a third of the life of the one that is shown
    /// is left; never ends. If none could be made in time, a token that is still good
    /// helps.
    pub async fn keep_up(self, admission: Admission) {
        let Some((mut kept, certificate)) = self.kept else {
            return;
        };
        loop {
            let until = kept.renew_at_s().saturating_sub(now_s());
            tokio::time::sleep(Duration::from_secs(until)).await;
            let by_token = || {
                let path = admission.token_file.as_ref()?;
                Some(Caller::with_token(&read_token(path).ok()?))
            };
            let caller = if kept.is_good() {
                self.caller.clone()
            } else {
                by_token().unwrap_or_else(|| self.caller.clone())
            };
            let error = match admission.enrol(&caller).await {
                Ok(fresh) => match fresh.show(&certificate) {
                    Ok(()) => {
                        tracing::info!("the certificate of this worker is renewed");
                        kept = fresh;
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(Tried::Unanswered(why)) => why,
                Err(Tried::Ended(error)) => error.to_string(),
            };
            tracing::warn!(
                error,
                "the certificate of this worker cannot be renewed yet"
            );
            tokio::time::sleep(RENEW_AGAIN).await;
        }
    }
}

fn other(error: impl std::fmt::Display) -> AdmissionError {
    AdmissionError::Other(error.to_string())
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn bytes(digits: &str) -> Result<Vec<u8>, AdmissionError> {
    let bytes = HEXLOWER.decode(digits.as_bytes());
    bytes.map_err(|_| AdmissionError::Other("the kept certificate is damaged".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(directory: &Path) -> Admission {
        Admission {
            coordinators: vec!["https://h:1".to_owned()],
            state_dir: directory.to_owned(),
            token_file: None,
            worker: "gpu1".parse().unwrap(),
        }
    }

    fn kept(until_s: u64) -> Kept {
        Kept {
            chain: vec!["0a".to_owned(), "0b".to_owned()],
            key: "0c".to_owned(),
            worker: "gpu1".to_owned(),
            from_s: 100,
            until_s,
        }
    }

    #[test]
    fn a_certificate_is_kept_as_long_as_it_is_good() {
        let directory = tempfile::tempdir().unwrap();
        let admission = admission(directory.path());
        assert!(admission.kept().is_none());
        admission.keep(&kept(now_s() + 60)).unwrap();
        let found = admission.kept().unwrap();
        assert_eq!(found.chain().unwrap(), [[10], [11]]);
        admission.keep(&kept(now_s())).unwrap();
        assert!(admission.kept().is_none());
        let other = Admission {
            worker: "gpu2".parse().unwrap(),
            ..admission.clone()
        };
        admission.keep(&kept(now_s() + 60)).unwrap();
        assert!(other.kept().is_none());
        std::fs::write(admission.path(), "{torn").unwrap();
        assert!(admission.kept().is_none());
    }

    #[test]
    fn it_is_renewed_when_a_third_is_left() {
        assert_eq!(kept(400).renew_at_s(), 300);
    }

    #[test]
    fn a_secret_is_in_no_debug_output() {
        let text = format!("{:?}", kept(7));
        assert_eq!(text, "Kept(gpu1, until 7)");
    }
}
