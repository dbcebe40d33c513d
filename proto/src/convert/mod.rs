//! Conversion between wire types and the types of the model. Decoding checks
//! everything that a peer could get wrong, including limits; encoding cannot
//! fail.

use std::collections::HashMap;

use swath_model::device::Device;
use swath_model::id::{Attempt, JobDigest, Owner, Replicate, SessionId, StateId, WeightsDigest};
use swath_model::message;
use swath_model::metrics::Metrics;
use swath_model::offer::{DeviceAbout, Free, Offer};
use swath_model::outcome;
use swath_model::placement::Placement;
use swath_model::program::Launch;
use swath_model::text;
use swath_model::view::WorkerAbout;

use crate::{limits, v1};

mod files;
mod submit;

pub use self::files::{
    fetch_reply, fetched, file_order, file_order_message, serve_message, served,
};
pub use self::submit::{said_of, sources, submit_request};

/// A message with a missing or wrong field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub struct DecodeError {
    field: &'static str,
    problem: String,
}

impl DecodeError {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

impl From<DecodeError> for tonic::Status {
    fn from(error: DecodeError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

fn at_most(field: &'static str, count: usize, limit: usize) -> Result<()> {
    if count > limit {
        return Err(DecodeError::new(
            field,
            format!("{count} items; at most {limit} are allowed"),
        ));
    }
    Ok(())
}

fn limited(field: &'static str, text: String, limit: usize) -> Result<String> {
    if text.len() > limit {
        let length = text.len();
        return Err(DecodeError::new(
            field,
            format!("{length} bytes; at most {limit} are allowed"),
        ));
    }
    Ok(text)
}

/// A digest from its bytes.
///
/// # Errors
///
/// When there are not 32 bytes.
pub fn job_digest(bytes: &[u8]) -> Result<JobDigest> {
    JobDigest::from_slice(bytes).ok_or_else(|| DecodeError::new("job", "must be 32 bytes"))
}

/// The worker in its session that sends a message.
///
/// # Errors
///
/// When the name is not valid for a worker.
pub fn owner(worker: &str, session: u64) -> Result<Owner> {
    let worker = worker
        .parse()
        .map_err(|error| DecodeError::new("worker", format!("{error}")))?;
    Ok(Owner {
        worker,
        session: SessionId(session),
    })
}

/// One held attempt.
///
/// # Errors
///
/// When the job is not a digest.
pub fn held(message: &v1::Held) -> Result<message::Held> {
    Ok(message::Held {
        job: job_digest(&message.job)?,
        attempt: Attempt(message.attempt),
    })
}

/// Attempts that a worker gives back.
///
/// # Errors
///
/// When one is wrong or there are too many.
pub fn releases(message: &v1::ReleaseRequest) -> Result<Vec<message::Release>> {
    let lack = |text: &String| match text.as_str() {
        "" => Ok(None),
        text => serde_json::from_str(text)
            .map(Some)
            .map_err(|error| DecodeError::new("lacks", error.to_string())),
    };
    let mut lacks = message.lacks.iter().map(lack);
    let held = held_all(&message.held)?.into_iter();
    let releases = held.map(|held| {
        let lack = lacks.next().transpose()?.flatten();
        Ok(message::Release { held, lack })
    });
    releases.collect()
}

/// Attempts that a worker gives back, encoded.
pub fn release_request(owner: &Owner, releases: Vec<message::Release>) -> v1::ReleaseRequest {
    let lack = |it: &message::Release| {
        let text = it.lack.as_ref().map(serde_json::to_string);
        // It has only text for keys, so it can be written.
        text.and_then(std::result::Result::ok).unwrap_or_default()
    };
    v1::ReleaseRequest {
        worker: owner.worker.to_string(),
        session: owner.session.0,
        lacks: releases.iter().map(lack).collect(),
        held: releases
            .into_iter()
            .map(|it| held_message(it.held))
            .collect(),
    }
}

/// All held attempts.
///
/// # Errors
///
/// When one is wrong or there are too many.
pub fn held_all(messages: &[v1::Held]) -> Result<Vec<message::Held>> {
    at_most("held", messages.len(), limits::HELD_MAX)?;
    messages.iter().map(held).collect()
}

/// One held attempt, encoded.
pub fn held_message(held: message::Held) -> v1::Held {
    v1::Held {
        job: held.job.as_bytes().to_vec(),
        attempt: held.attempt.0,
        lease: Vec::new(),
    }
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| DecodeError::new(field, "is missing"))
}

fn device(text: &str) -> Result<Device> {
    text.parse()
        .map_err(|error| DecodeError::new("device", format!("{error}")))
}

fn placement(text: &str) -> Result<Placement> {
    text.parse()
        .map_err(|error| DecodeError::new("device", format!("{error}")))
}

fn state_id(text: &str) -> Result<Option<StateId>> {
    let id = (!text.is_empty()).then(|| text.parse()).transpose();
    id.map_err(|error| DecodeError::new("state_id", format!("{error}")))
}

/// A worker's hello.
///
/// # Errors
///
/// When its name or what it holds is wrong.
pub fn hello(message: v1::HelloRequest) -> Result<message::Hello> {
    at_most("slots", message.slots.len(), 1024)?;
    at_most("programs", message.programs.len(), 1024)?;
    let programs: usize = message.programs.iter().map(String::len).sum();
    if programs > limits::PROGRAMS_BYTES {
        let limit = limits::PROGRAMS_BYTES;
        let told = format!("{programs} bytes; at most {limit} are allowed");
        return Err(DecodeError::new("programs", told));
    }
    at_most("devices", message.devices.len(), limits::DEVICES_MAX)?;
    let devices = message.devices.into_iter().map(|about| {
        Ok(DeviceAbout {
            device: device(&about.device)?,
            model: limited("model", about.model, 256)?,
            memory_bytes: about.memory_bytes,
        })
    });
    let slots = message.slots.iter().map(|slot| device(slot));
    Ok(message::Hello {
        worker: owner(&message.worker, 0)?.worker,
        held: held_all(&message.held)?,
        takes_name: message.takes_name,
        about: WorkerAbout {
            host: limited("host", message.host, 256)?,
            pid: message.pid,
            version: limited("version", message.version, 256)?,
            protocol: Some(message.protocol),
            state_id: state_id(&message.state_id)?,
            out: Some(limited("out", message.out, limits::PATH_BYTES)?)
                .filter(|out| !out.is_empty()),
            offer: Offer {
                slots: slots.collect::<Result<_>>()?,
                programs: message.programs,
                devices: devices.collect::<Result<_>>()?,
                cpus: Some(message.cpus).filter(|cpus| *cpus > 0),
            },
        },
    })
}

/// A worker's hello, encoded.
pub fn hello_message(hello: message::Hello) -> v1::HelloRequest {
    let offer = hello.about.offer;
    let devices = offer.devices.into_iter().map(|about| v1::Device {
        device: about.device.to_string(),
        model: about.model,
        memory_bytes: about.memory_bytes,
    });
    v1::HelloRequest {
        protocol: hello.about.protocol.unwrap_or(crate::PROTOCOL_VERSION),
        worker: hello.worker.to_string(),
        host: hello.about.host,
        pid: hello.about.pid,
        version: hello.about.version,
        state_id: hello
            .about
            .state_id
            .map_or_else(String::new, |id| id.to_string()),
        takes_name: hello.takes_name,
        out: hello.about.out.unwrap_or_default(),
        slots: offer.slots.iter().map(ToString::to_string).collect(),
        programs: offer.programs,
        devices: devices.collect(),
        cpus: offer.cpus.unwrap_or(0),
        held: hello.held.into_iter().map(held_message).collect(),
    }
}

/// A verdict.
///
/// # Errors
///
/// When this version does not know it.
pub fn verdict(message: i32) -> Result<message::Verdict> {
    match v1::Verdict::try_from(message) {
        Ok(v1::Verdict::Keep) => Ok(message::Verdict::Keep),
        Ok(v1::Verdict::Stop) => Ok(message::Verdict::Stop),
        Ok(v1::Verdict::Fenced) => Ok(message::Verdict::Fenced),
        Ok(v1::Verdict::Unspecified) | Err(_) => {
            Err(DecodeError::new("verdict", format!("{message} is unknown")))
        }
    }
}

/// Verdicts, one for each of `count` questions.
///
/// # Errors
///
/// When one is unknown, or there are more or fewer than `count`.
pub fn verdicts(messages: &[i32], count: usize) -> Result<Vec<message::Verdict>> {
    if messages.len() != count {
        return Err(DecodeError::new(
            "verdicts",
            format!("{} for {count}", messages.len()),
        ));
    }
    messages.iter().map(|message| verdict(*message)).collect()
}

/// A verdict, encoded.
pub fn verdict_message(verdict: message::Verdict) -> i32 {
    i32::from(match verdict {
        message::Verdict::Keep => v1::Verdict::Keep,
        message::Verdict::Stop => v1::Verdict::Stop,
        message::Verdict::Fenced => v1::Verdict::Fenced,
    })
}

/// An exchange.
///
/// # Errors
///
/// When a part is wrong or too large.
pub fn exchange(message: v1::ExchangeRequest) -> Result<message::Exchange> {
    at_most("finishes", message.finishes.len(), limits::FINISHES_MAX)?;
    Ok(message::Exchange {
        owner: owner(&message.worker, message.session)?,
        request: message.request,
        finishes: message
            .finishes
            .into_iter()
            .map(finish)
            .collect::<Result<_>>()?,
        free: free(&message.free)?,
    })
}

/// What is free, with no more jobs in total than may be asked for.
fn free(messages: &[v1::Free]) -> Result<Vec<Free>> {
    at_most("free", messages.len(), limits::DEVICES_MAX)?;
    let mut left = limits::WANT_MAX;
    let mut take = |asked: u32| {
        let taken = asked.min(left);
        left -= taken;
        taken
    };
    let free = messages.iter().map(|message| {
        Ok(Free {
            device: device(&message.device)?,
            slots: take(message.slots),
            ahead: take(message.ahead),
        })
    });
    free.collect()
}

/// An exchange, encoded; `wait_ms` is how long to wait for a job.
pub fn exchange_message(exchange: message::Exchange, wait_ms: u32) -> v1::ExchangeRequest {
    v1::ExchangeRequest {
        worker: exchange.owner.worker.to_string(),
        session: exchange.owner.session.0,
        request: exchange.request,
        finishes: exchange.finishes.into_iter().map(finish_message).collect(),
        free: exchange.free.iter().map(free_message).collect(),
        wait_ms,
    }
}

fn free_message(free: &Free) -> v1::Free {
    v1::Free {
        device: free.device.to_string(),
        slots: free.slots,
        ahead: free.ahead,
    }
}

fn finish(message: v1::Finish) -> Result<message::Finish> {
    use v1::finish::Outcome;
    let outcome = match present("outcome", message.outcome)? {
        Outcome::Measured(measured) => outcome::Outcome::Measured(outcome::Measurement {
            train_seconds: measured.train_seconds,
            // A metric that may not be recorded must not cost the outcome.
            values: measured.values.into_iter().collect(),
            weights: measured
                .weights
                .and_then(|bytes| WeightsDigest::from_slice(&bytes)),
        }),
        Outcome::Failed(failed) => outcome::Outcome::Failed {
            fault: fault(failed.fault)?,
            message: limited("message", failed.message, limits::MESSAGE_BYTES)?,
        },
    };
    Ok(message::Finish {
        held: held(&present("held", message.held)?)?,
        outcome,
        provenance: provenance(message.provenance.unwrap_or_default()),
    })
}

fn owned(values: &Metrics) -> HashMap<String, f64> {
    values
        .iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn finish_message(finish: message::Finish) -> v1::Finish {
    use v1::finish::Outcome;
    let outcome = match finish.outcome {
        outcome::Outcome::Measured(measured) => Outcome::Measured(v1::Measurement {
            train_seconds: measured.train_seconds,
            values: owned(&measured.values),
            weights: measured.weights.map(|digest| digest.as_bytes().to_vec()),
        }),
        outcome::Outcome::Failed { fault, message } => Outcome::Failed(v1::Failure {
            fault: fault_message(fault),
            message,
        }),
    };
    v1::Finish {
        held: Some(held_message(finish.held)),
        outcome: Some(outcome),
        provenance: Some(provenance_message(finish.provenance)),
    }
}

fn fault(message: i32) -> Result<outcome::Fault> {
    match v1::Fault::try_from(message) {
        Ok(v1::Fault::Lost) => Ok(outcome::Fault::Lost),
        Ok(v1::Fault::Crashed) => Ok(outcome::Fault::Crashed),
        Ok(v1::Fault::OutOfMemory) => Ok(outcome::Fault::OutOfMemory),
        Ok(v1::Fault::Diverged) => Ok(outcome::Fault::Diverged),
        Ok(v1::Fault::Invalid) => Ok(outcome::Fault::Invalid),
        Ok(v1::Fault::TimedOut) => Ok(outcome::Fault::TimedOut),
        Ok(v1::Fault::Unspecified) | Err(_) => {
            Err(DecodeError::new("fault", format!("{message} is unknown")))
        }
    }
}

fn fault_message(fault: outcome::Fault) -> i32 {
    i32::from(match fault {
        outcome::Fault::Lost => v1::Fault::Lost,
        outcome::Fault::Crashed => v1::Fault::Crashed,
        outcome::Fault::OutOfMemory => v1::Fault::OutOfMemory,
        outcome::Fault::Diverged => v1::Fault::Diverged,
        outcome::Fault::Invalid => v1::Fault::Invalid,
        outcome::Fault::TimedOut => v1::Fault::TimedOut,
    })
}

fn provenance(message: v1::Provenance) -> outcome::Provenance {
    // What a worker says of its host must not cost an outcome.
    let cut = |text| text::cut(text, limits::PROVENANCE_BYTES);
    outcome::Provenance {
        device: cut(message.device),
        driver: cut(message.driver),
        libtorch: cut(message.libtorch),
        trainer: cut(message.trainer),
        threads: message.threads,
        determinism: cut(message.determinism),
    }
}

fn provenance_message(provenance: outcome::Provenance) -> v1::Provenance {
    v1::Provenance {
        device: provenance.device,
        driver: provenance.driver,
        libtorch: provenance.libtorch,
        trainer: provenance.trainer,
        threads: provenance.threads,
        determinism: provenance.determinism,
    }
}

/// An acknowledgement.
///
/// # Errors
///
/// When this version does not know it.
pub fn ack(message: i32) -> Result<message::Ack> {
    match v1::Ack::try_from(message) {
        Ok(v1::Ack::Recorded) => Ok(message::Ack::Recorded),
        Ok(v1::Ack::AlreadyRecorded) => Ok(message::Ack::AlreadyRecorded),
        Ok(v1::Ack::Stale) => Ok(message::Ack::Stale),
        Ok(v1::Ack::Refused) => Ok(message::Ack::Refused),
        Ok(v1::Ack::Unspecified) | Err(_) => {
            Err(DecodeError::new("ack", format!("{message} is unknown")))
        }
    }
}

/// An acknowledgement, encoded.
pub fn ack_message(ack: message::Ack) -> i32 {
    i32::from(match ack {
        message::Ack::Recorded => v1::Ack::Recorded,
        message::Ack::AlreadyRecorded => v1::Ack::AlreadyRecorded,
        message::Ack::Stale => v1::Ack::Stale,
        message::Ack::Refused => v1::Ack::Refused,
    })
}

/// A grant.
///
/// # Errors
///
/// When its attempt is missing or wrong.
pub fn grant(message: v1::Grant) -> Result<message::Grant> {
    Ok(message::Grant {
        held: held(&present("held", message.held)?)?,
        spec: message.spec,
        placement: placement(&message.device)?,
        replicate: Replicate(message.replicate),
        launch: launch("launch", &message.launch)?,
    })
}

/// A grant, encoded.
pub fn grant_message(grant: message::Grant) -> v1::Grant {
    v1::Grant {
        held: Some(held_message(grant.held)),
        spec: grant.spec,
        device: grant.placement.to_string(),
        replicate: grant.replicate.0,
        launch: launch_text(&grant.launch),
    }
}

/// How a program is started; an empty text says nothing of it.
fn launch(field: &'static str, text: &str) -> Result<Launch> {
    if text.is_empty() {
        return Ok(Launch::default());
    }
    serde_json::from_str(text).map_err(|error| DecodeError::new(field, error.to_string()))
}

fn launch_text(launch: &Launch) -> String {
    if launch.is_empty() {
        return String::new();
    }
    // It has only text for keys, so it can be written.
    serde_json::to_string(launch).unwrap_or_default()
}

/// Reports of open attempts.
///
/// # Errors
///
/// When a part is wrong or too large.
pub fn reports(messages: Vec<v1::Report>) -> Result<Vec<message::Report>> {
    at_most("reports", messages.len(), limits::HELD_MAX)?;
    messages.into_iter().map(report).collect()
}

fn report(message: v1::Report) -> Result<message::Report> {
    at_most(
        "observations",
        message.observations.len(),
        limits::OBSERVATIONS_MAX,
    )?;
    let (names, observations) = (&message.names, message.observations);
    Ok(message::Report {
        held: held(&present("held", message.held)?)?,
        observations: observations
            .into_iter()
            .map(|it| observation(it, names))
            .collect::<Result<_>>()?,
        log_sequence: message.log_sequence,
        log: limited("log", message.log, limits::LOG_CHUNK_BYTES)?,
    })
}

/// A report, encoded.
pub fn report_message(report: message::Report) -> v1::Report {
    let mut names: Vec<String> = Vec::new();
    let seen = report.observations.iter();
    let observations = seen.map(|it| observation_message(it, &mut names)).collect();
    v1::Report {
        held: Some(held_message(report.held)),
        observations,
        log_sequence: report.log_sequence,
        log: report.log,
        names,
    }
}

fn observation(message: v1::Observation, names: &[String]) -> Result<outcome::Observation> {
    let count = message.names.len();
    if message.values.len() != count {
        let values = message.values.len();
        return Err(DecodeError::new("values", format!("{values} for {count}")));
    }
    let name = |place: &u32| {
        let unknown = || DecodeError::new("names", format!("{place} is unknown"));
        names.get(*place as usize).ok_or_else(unknown)
    };
    let named = message.names.iter().map(name).collect::<Result<Vec<_>>>()?;
    Ok(outcome::Observation {
        epoch: message.epoch,
        step: message.step,
        seconds: message.seconds.filter(|seconds| seconds.is_finite()),
        values: named.into_iter().zip(message.values).collect(),
    })
}

/// `names` are those of the report so far.
fn observation_message(seen: &outcome::Observation, names: &mut Vec<String>) -> v1::Observation {
    let mut places = Vec::with_capacity(seen.values.len());
    for (at, (name, _)) in seen.values.iter().enumerate() {
        // Nearly always each observation has the same names.
        let place = match names.get(at) {
            Some(same) if same == name => at,
            _ => names.iter().position(|it| it == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            }),
        };
        places.push(place as u32);
    }
    v1::Observation {
        epoch: seen.epoch,
        step: seen.step,
        seconds: seen.seconds,
        names: places,
        values: seen.values.iter().map(|(_, value)| value).collect(),
    }
}

#[cfg(test)]
mod tests;
