-- Sweeps, cells, jobs, their attempts and outcomes, and the workers.
--
-- The rules of a job's life are decided in swath-core; the checks and triggers
-- here refuse what no version of that code may ever write. Integers are keys
-- inside this file, digests name things outside. Times are milliseconds since
-- the Unix epoch on the coordinator's clock.

-- "Swth": tells this file from any other SQLite database.
PRAGMA application_id = 1400337512;

CREATE TABLE sweep (
    id           INTEGER PRIMARY KEY,          -- order of submission
    digest       BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    name         TEXT    NOT NULL CHECK (length(name) <= 256),
    title        TEXT    NOT NULL,
    replicates   INTEGER NOT NULL CHECK (replicates BETWEEN 0 AND 4294967295),
    priority     INTEGER NOT NULL CHECK (priority BETWEEN -2147483648 AND 2147483647),
    live         INTEGER NOT NULL DEFAULT 1 CHECK (live IN (0, 1)),
    paused       INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    reason       TEXT    NOT NULL DEFAULT '',
    sources      TEXT    NOT NULL,
    definition   TEXT    NOT NULL,
    submitted_at INTEGER NOT NULL,
    CONSTRAINT only_a_pause_has_a_reason CHECK (paused = 1 OR reason = '')
) STRICT;

CREATE TABLE cell (
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    spec    TEXT NOT NULL,                     -- canonical, without a seed
    program TEXT                               -- NULL: for the built-in core
) STRICT;

-- Which cells a sweep has. Its jobs follow: replicates 1 to N of each.
CREATE TABLE sweep_cell (
    sweep    INTEGER NOT NULL REFERENCES sweep (id),
    position INTEGER NOT NULL CHECK (position >= 0),
    cell     INTEGER NOT NULL REFERENCES cell (id),
    axes     TEXT    NOT NULL,
    PRIMARY KEY (sweep, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX sweep_cell_by_cell ON sweep_cell (cell, sweep);

CREATE TABLE worker (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    state    TEXT    NOT NULL CHECK (state IN ('active', 'cordoned', 'draining')),
    reason   TEXT    NOT NULL DEFAULT '',
    session  INTEGER NOT NULL UNIQUE CHECK (session >= 1),
    seen_at  INTEGER NOT NULL,
    about    TEXT    NOT NULL,
    programs TEXT    NOT NULL,                 -- JSON array, for the grant's filter
    failed   TEXT    NOT NULL DEFAULT '[]',    -- JSON array: the jobs that it failed in a row
    CONSTRAINT an_active_worker_needs_no_reason CHECK (state <> 'active' OR reason = '')
) STRICT;

CREATE TABLE job (
    id          INTEGER PRIMARY KEY,           -- order of submission
    digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    cell        INTEGER NOT NULL REFERENCES cell (id),
    replicate   INTEGER NOT NULL CHECK (replicate BETWEEN 1 AND 4294967295),
    seed        INTEGER NOT NULL CHECK (seed BETWEEN 0 AND 9007199254740991),
    -- The greatest of the live, unpaused sweeps that want it; NULL: not to be granted.
    priority    INTEGER CHECK (priority BETWEEN -2147483648 AND 2147483647),
    state       TEXT    NOT NULL,
    not_before  INTEGER,                       -- end of the backoff
    deadline    INTEGER,                       -- end of the lease or of its grace
    stop        INTEGER NOT NULL DEFAULT 0 CHECK (stop IN (0, 1)),
    fault       TEXT,                          -- why it failed
    attempt     INTEGER NOT NULL DEFAULT 0 CHECK (attempt BETWEEN 0 AND 4294967295),
    worker      INTEGER REFERENCES worker (id),-- owner of the newest attempt
    session     INTEGER,
    granted_at  INTEGER NOT NULL,
    grants      INTEGER NOT NULL DEFAULT 0,    -- since creation or the last fresh start
    charged     INTEGER NOT NULL DEFAULT 0 CHECK (charged >= 0),
    failed_on   TEXT,                          -- JSON array of worker names; NULL: none
    closed      INTEGER NOT NULL DEFAULT 1 CHECK (closed IN (0, 1)),
    unmentioned INTEGER NOT NULL DEFAULT 0 CHECK (unmentioned BETWEEN 0 AND 2),
    faulted     INTEGER,                       -- the attempt whose fault is remembered
    ended_at    INTEGER,
    UNIQUE (cell, replicate),
    CONSTRAINT state_has_a_name CHECK
        (state IN ('queued', 'leased', 'suspect', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT queued_has_a_start CHECK ((state = 'queued') = (not_before IS NOT NULL)),
    CONSTRAINT leased_has_a_deadline CHECK
        ((state IN ('leased', 'suspect')) = (deadline IS NOT NULL)),
    CONSTRAINT only_a_lease_stops CHECK (stop = 0 OR deadline IS NOT NULL),
    CONSTRAINT a_lease_is_open CHECK (deadline IS NULL OR closed = 0),
    CONSTRAINT failed_has_a_fault CHECK ((state = 'failed') = (fault IS NOT NULL)),
    CONSTRAINT fault_has_a_name CHECK
        (fault IN ('lost', 'crashed', 'out_of_memory', 'diverged', 'invalid', 'timed_out')),
    CONSTRAINT final_has_an_end CHECK
        ((state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT an_attempt_has_an_owner CHECK
        ((attempt > 0) = (worker IS NOT NULL) AND (worker IS NULL) = (session IS NULL)),
    CONSTRAINT a_lease_has_an_attempt CHECK
        (attempt > 0 OR state IN ('queued', 'failed', 'cancelled')),
    CONSTRAINT grants_are_attempts CHECK (grants BETWEEN 0 AND attempt),
    CONSTRAINT faulted_is_an_attempt CHECK (faulted BETWEEN 1 AND attempt)
) STRICT;

CREATE INDEX job_queue ON job (priority DESC, id)
    WHERE state = 'queued' AND priority IS NOT NULL;
-- Only a job that was granted before can be in a backoff.
CREATE INDEX job_backoff ON job (not_before)
    WHERE state = 'queued' AND attempt > 0;
CREATE INDEX job_lease ON job (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX job_lease_of_worker ON job (worker) WHERE deadline IS NOT NULL;
CREATE INDEX job_faulted ON job (cell) WHERE faulted IS NOT NULL;
CREATE INDEX job_failed ON job (cell) WHERE state = 'failed';

-- What a sweep wants of its cells' jobs.
CREATE VIEW sweep_job AS
SELECT sweep_cell.sweep, sweep_cell.position, job.replicate, job.id AS job
FROM sweep_cell
JOIN sweep ON sweep.id = sweep_cell.sweep
JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= sweep.replicates;

CREATE TABLE provenance (
    id          INTEGER PRIMARY KEY,
    device      TEXT    NOT NULL,
    driver      TEXT    NOT NULL,
    libtorch    TEXT    NOT NULL,
    trainer     TEXT    NOT NULL,
    threads     INTEGER NOT NULL CHECK (threads BETWEEN 0 AND 4294967295),
    determinism TEXT    NOT NULL,
    UNIQUE (device, driver, libtorch, trainer, threads, determinism)
) STRICT;

CREATE TABLE attempt (
    job        INTEGER NOT NULL REFERENCES job (id),
    attempt    INTEGER NOT NULL CHECK (attempt BETWEEN 1 AND 4294967295),
    worker     INTEGER NOT NULL REFERENCES worker (id),
    session    INTEGER NOT NULL,               -- at the grant
    granted_at INTEGER NOT NULL,
    ended_at   INTEGER,
    ended      TEXT CHECK (ended IN ('measured', 'released', 'lost', 'crashed', 'out_of_memory',
                                     'diverged', 'invalid', 'timed_out')),
    message    TEXT    NOT NULL DEFAULT '',
    provenance INTEGER REFERENCES provenance (id),
    log_gone   INTEGER NOT NULL DEFAULT 0,     -- the last log chunk that had to make room
    PRIMARY KEY (job, attempt),
    CONSTRAINT an_end_has_a_time CHECK ((ended IS NULL) = (ended_at IS NULL)),
    CONSTRAINT an_outcome_has_a_provenance CHECK
        ((ended IS NULL OR ended = 'released') = (provenance IS NULL))
) STRICT, WITHOUT ROWID;

-- What succeeded jobs measured. Written once.
CREATE TABLE outcome (
    job             INTEGER PRIMARY KEY REFERENCES job (id),
    attempt         INTEGER NOT NULL,
    test_error      REAL    NOT NULL,
    test_loss       REAL,
    best_test_error REAL,
    train_seconds   REAL    NOT NULL,
    -- The four numbers above as big-endian doubles, NaN for NULL: what a table
    -- of tens of thousands of outcomes is read from, exactly and in one value.
    bits            BLOB    NOT NULL CHECK (length(bits) = 32),
    provenance      INTEGER NOT NULL REFERENCES provenance (id),
    recorded_at     INTEGER NOT NULL
) STRICT;

-- What came too late to count, kept aside.
CREATE TABLE late_outcome (
    id          INTEGER PRIMARY KEY,
    job         INTEGER NOT NULL REFERENCES job (id),
    attempt     INTEGER NOT NULL CHECK (attempt BETWEEN 0 AND 4294967295),
    worker      INTEGER NOT NULL REFERENCES worker (id),
    session     INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    provenance  TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL,
    UNIQUE (job, attempt, worker, outcome)
) STRICT;

CREATE TABLE observation (
    job               INTEGER NOT NULL REFERENCES job (id),
    attempt           INTEGER NOT NULL,
    epoch             INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    step              INTEGER NOT NULL,
    train_loss        REAL,
    train_error       REAL,
    test_loss         REAL,
    test_error        REAL,
    lr                REAL,
    seconds           REAL,
    images_per_second REAL,
    PRIMARY KEY (job, attempt, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_chunk (
    job      INTEGER NOT NULL REFERENCES job (id),
    position INTEGER NOT NULL CHECK (position >= 1),
    attempt  INTEGER NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    text     TEXT    NOT NULL,
    PRIMARY KEY (job, position),
    UNIQUE (job, attempt, sequence)
) STRICT, WITHOUT ROWID;

-- The grants of a worker's last requests: a lost reply is answered with the same.
CREATE TABLE grant_request (
    worker  INTEGER NOT NULL REFERENCES worker (id),
    session INTEGER NOT NULL,
    request INTEGER NOT NULL,
    grants  TEXT    NOT NULL,                  -- JSON array of [job, attempt]
    PRIMARY KEY (worker, session, request)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER job_keeps_its_name BEFORE UPDATE OF id, digest, cell, replicate, seed ON job
BEGIN
    SELECT RAISE(ABORT, 'what a job computes never changes');
END;

CREATE TRIGGER job_stays BEFORE DELETE ON job
BEGIN
    SELECT RAISE(ABORT, 'jobs are never deleted');
END;

CREATE TRIGGER job_stays_succeeded BEFORE UPDATE ON job WHEN OLD.state = 'succeeded'
BEGIN
    SELECT RAISE(ABORT, 'a succeeded job never changes');
END;

CREATE TRIGGER job_leaves_an_end_for_the_queue BEFORE UPDATE OF state ON job
WHEN OLD.state IN ('failed', 'cancelled') AND NEW.state NOT IN (OLD.state, 'queued')
BEGIN
    SELECT RAISE(ABORT, 'a failed or cancelled job can only be queued again');
END;

CREATE TRIGGER job_attempt_rises_at_a_grant BEFORE UPDATE OF attempt ON job
WHEN NEW.attempt <> OLD.attempt
 AND NOT (NEW.attempt = OLD.attempt + 1 AND OLD.state = 'queued' AND NEW.state = 'leased')
BEGIN
    SELECT RAISE(ABORT, 'the attempt rises by one per grant and in no other way');
END;

CREATE TRIGGER job_succeeds_with_an_outcome BEFORE UPDATE OF state ON job
WHEN NEW.state = 'succeeded'
 AND NOT EXISTS (SELECT 1 FROM outcome WHERE job = OLD.id AND attempt = OLD.attempt)
BEGIN
    SELECT RAISE(ABORT, 'a job succeeds with the outcome of its newest attempt');
END;

CREATE TRIGGER outcome_is_of_an_open_attempt BEFORE INSERT ON outcome
WHEN NOT EXISTS (SELECT 1 FROM job
                 WHERE id = NEW.job AND attempt = NEW.attempt AND closed = 0
                   AND state IN ('queued', 'leased', 'suspect'))
BEGIN
    SELECT RAISE(ABORT, 'an outcome is of the newest attempt of a job that is not final');
END;

CREATE TRIGGER outcome_never_changes BEFORE UPDATE ON outcome
BEGIN
    SELECT RAISE(ABORT, 'an outcome never changes');
END;

CREATE TRIGGER outcome_stays BEFORE DELETE ON outcome
BEGIN
    SELECT RAISE(ABORT, 'outcomes are never deleted');
END;

-- A worker repeats a request only until it is answered: the last few are enough.
CREATE TRIGGER grant_request_forgets AFTER INSERT ON grant_request
BEGIN
    DELETE FROM grant_request
    WHERE worker = NEW.worker AND session = NEW.session AND request < (
        SELECT min(request) FROM (
            SELECT request FROM grant_request
            WHERE worker = NEW.worker AND session = NEW.session
            ORDER BY request DESC LIMIT 16));
END;

CREATE TRIGGER attempt_ends_once BEFORE UPDATE OF ended, ended_at, message, provenance ON attempt
WHEN OLD.ended IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'the end of an attempt is recorded once');
END;
