-- Sweeps, cells, jobs, their attempts and outcomes, and the workers.
--
-- The same tables as of the SQLite store at the same step, but for what no
-- database of this kind ever had. The rules of a job's life are decided by the
-- engine; the checks and triggers here refuse what no version of it may ever
-- write. Integers are keys inside this database, digests name things outside.
-- Times are milliseconds since the Unix epoch on the coordinator's clock.
--
-- A text cannot hold a NUL here: the store writes those in another way (see
-- `text.rs` of its crate). Texts that are put in order have the collation "C",
-- that of their bytes, whatever the database's own.

-- Names a text that may be too long for an index. (Immutable, since a database
-- has one encoding.)
CREATE FUNCTION fingerprint(text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sha256(convert_to($1, 'UTF8'));

CREATE TABLE sweep (
    id           bigint  PRIMARY KEY,          -- order of submission
    digest       bytea   NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    name         text    COLLATE "C" NOT NULL CHECK (length(name) <= 256),
    title        text    NOT NULL,
    replicates   bigint  NOT NULL CHECK (replicates BETWEEN 0 AND 4294967295),
    priority     bigint  NOT NULL CHECK (priority BETWEEN -2147483648 AND 2147483647),
    live         boolean NOT NULL DEFAULT true,
    paused       boolean NOT NULL DEFAULT false,
    reason       text    NOT NULL DEFAULT '',
    sources      text    NOT NULL,
    definition   text    NOT NULL,
    submitted_at bigint  NOT NULL,
    CONSTRAINT only_a_pause_has_a_reason CHECK (paused OR reason = '')
);

CREATE TABLE cell (
    id      bigint PRIMARY KEY,
    digest  bytea  NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    spec    text   NOT NULL,                   -- canonical, without a seed
    program text                               -- NULL: for the built-in core
);

-- Which cells a sweep has. Its jobs follow: replicates 1 to N of each.
CREATE TABLE sweep_cell (
    sweep    bigint NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    cell     bigint NOT NULL,
    axes     text   NOT NULL,
    PRIMARY KEY (sweep, position)
);

CREATE UNIQUE INDEX sweep_cell_by_cell ON sweep_cell (cell, sweep);

CREATE TABLE worker (
    id       bigint PRIMARY KEY,
    name     text   COLLATE "C" NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    state    text   NOT NULL CHECK (state IN ('active', 'cordoned', 'draining')),
    reason   text   NOT NULL DEFAULT '',
    session  bigint NOT NULL UNIQUE CHECK (session >= 1),
    seen_at  bigint NOT NULL,
    about    text   NOT NULL,
    failed   text   NOT NULL DEFAULT '[]',     -- JSON array: the jobs that it failed in a row
    CONSTRAINT an_active_worker_needs_no_reason CHECK (state <> 'active' OR reason = '')
-- Its row changes with every word of the worker: room for that beside it.
) WITH (fillfactor = 50);

CREATE TABLE job (
    id          bigint  PRIMARY KEY,           -- order of submission
    digest      bytea   NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    cell        bigint  NOT NULL,
    replicate   bigint  NOT NULL CHECK (replicate BETWEEN 1 AND 4294967295),
    seed        bigint  NOT NULL CHECK (seed BETWEEN 0 AND 9007199254740991),
    state       text    COLLATE "C" NOT NULL,
    not_before  bigint,                        -- end of the backoff
    deadline    bigint,                        -- end of the lease or of its grace
    stop        boolean NOT NULL DEFAULT false,
    fault       text    COLLATE "C",           -- why it failed
    attempt     bigint  NOT NULL DEFAULT 0 CHECK (attempt BETWEEN 0 AND 4294967295),
    worker      bigint,                        -- owner of the newest attempt
    session     bigint,
    granted_at  bigint  NOT NULL,
    grants      bigint  NOT NULL DEFAULT 0,    -- since creation or the last fresh start
    charged     bigint  NOT NULL DEFAULT 0 CHECK (charged >= 0),
    failed_on   text,                          -- JSON array of worker names; NULL: none
    closed      boolean NOT NULL DEFAULT true,
    unmentioned bigint  NOT NULL DEFAULT 0 CHECK (unmentioned BETWEEN 0 AND 2),
    faulted     bigint,                        -- the attempt whose fault is remembered
    ended_at    bigint,
    UNIQUE (cell, replicate),
    CONSTRAINT state_has_a_name CHECK
        (state IN ('queued', 'leased', 'suspect', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT queued_has_a_start CHECK ((state = 'queued') = (not_before IS NOT NULL)),
    CONSTRAINT leased_has_a_deadline CHECK
        ((state IN ('leased', 'suspect')) = (deadline IS NOT NULL)),
    CONSTRAINT only_a_lease_stops CHECK (NOT stop OR deadline IS NOT NULL),
    CONSTRAINT a_lease_is_open CHECK (deadline IS NULL OR NOT closed),
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
-- Neighbours change together, once at least: room for that beside them.
) WITH (fillfactor = 50);

-- No index asks for the state or the owner of a job, nor for a deadline: a row
-- is written anew in its place as long as nothing changes that an index asks
-- for, and otherwise gets another entry in each of them. What is final has an
-- end, what failed a fault.
CREATE INDEX job_faulted ON job (cell) WHERE faulted IS NOT NULL;
CREATE INDEX job_failed ON job (cell) WHERE fault IS NOT NULL;

CREATE TABLE provenance (
    id          bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    -- Of all that follows: together it may be too long for an index.
    digest      bytea  NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    device      text   NOT NULL,
    driver      text   NOT NULL,
    libtorch    text   NOT NULL,
    trainer     text   NOT NULL,
    threads     bigint NOT NULL CHECK (threads BETWEEN 0 AND 4294967295),
    determinism text   NOT NULL
);

CREATE TABLE attempt (
    job        bigint NOT NULL,
    attempt    bigint NOT NULL CHECK (attempt BETWEEN 1 AND 4294967295),
    worker     bigint NOT NULL,
    session    bigint NOT NULL,                -- at the grant
    granted_at bigint NOT NULL,
    ended_at   bigint,
    ended      text CHECK (ended IN ('measured', 'released', 'lost', 'crashed', 'out_of_memory',
                                     'diverged', 'invalid', 'timed_out')),
    message    text   NOT NULL DEFAULT '',
    provenance bigint,
    log_gone   bigint NOT NULL DEFAULT 0,      -- the last log chunk that had to make room
    PRIMARY KEY (job, attempt),
    CONSTRAINT an_end_has_a_time CHECK ((ended IS NULL) = (ended_at IS NULL)),
    CONSTRAINT an_outcome_has_a_provenance CHECK
        ((ended IS NULL OR ended = 'released') = (provenance IS NULL))
);

-- Of these are the attempts under way, and those that were never heard of again.
CREATE INDEX attempt_open ON attempt (worker) WHERE ended IS NULL;

-- What succeeded jobs measured. Written once. (No column of bits: a number
-- leaves this database as it came.)
CREATE TABLE outcome (
    job             bigint PRIMARY KEY,
    attempt         bigint NOT NULL,
    test_error      double precision NOT NULL,
    test_loss       double precision,
    best_test_error double precision,
    train_seconds   double precision NOT NULL,
    provenance      bigint NOT NULL,
    recorded_at     bigint NOT NULL
);

-- What came too late to count, kept aside.
CREATE TABLE late_outcome (
    id          bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    job         bigint NOT NULL REFERENCES job (id),
    attempt     bigint NOT NULL CHECK (attempt BETWEEN 0 AND 4294967295),
    worker      bigint NOT NULL REFERENCES worker (id),
    session     bigint NOT NULL,
    outcome     text   NOT NULL,
    provenance  text   NOT NULL,
    recorded_at bigint NOT NULL
);

-- Once each; an outcome may be too long for an index.
CREATE UNIQUE INDEX late_outcome_once
    ON late_outcome (job, attempt, worker, fingerprint(outcome));

CREATE TABLE observation (
    job               bigint NOT NULL REFERENCES job (id),
    attempt           bigint NOT NULL,
    epoch             bigint NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    step              bigint NOT NULL,
    train_loss        double precision,
    train_error       double precision,
    test_loss         double precision,
    test_error        double precision,
    lr                double precision,
    seconds           double precision,
    images_per_second double precision,
    PRIMARY KEY (job, attempt, epoch)
);

-- Bytes of a text as it was before the store wrote its NULs in another way:
-- then it begins with chr(1), and has one more for each character that stands
-- for another.
CREATE FUNCTION told_octets(text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN octet_length(CASE WHEN starts_with($1, E'\x01') THEN replace($1, E'\x01', '') ELSE $1 END);

CREATE TABLE log_chunk (
    job      bigint NOT NULL REFERENCES job (id),
    position bigint NOT NULL CHECK (position >= 1),
    attempt  bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    text     text   NOT NULL,
    PRIMARY KEY (job, position),
    UNIQUE (job, attempt, sequence)
);

-- The grants of a worker's last requests: a lost reply is answered with the same.
CREATE TABLE grant_request (
    worker  bigint NOT NULL REFERENCES worker (id),
    session bigint NOT NULL,
    request bigint NOT NULL,                   -- the bits of an unsigned number
    grants  text   NOT NULL,                   -- JSON array of [job, attempt]
    PRIMARY KEY (worker, session, request)
);

-- Refuses a row (of a trigger whose condition says which) in the words of the
-- trigger's argument.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'check_violation',
        TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END $$;

-- Cells, jobs, workers and provenances stay, and neither they nor those that
-- name them change their keys. So whoever names one is asked once, when it
-- comes, and for all rows of a statement together: a foreign key would be asked
-- for each, and a commit has thousands of them. (The settings leave one way to
-- look: along an index, row by row. Nobody knows how many rows there will be
-- when a session plans it once and for all.)
CREATE FUNCTION no_such(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'there is no such %', what USING ERRCODE = 'foreign_key_violation';
END $$;

CREATE FUNCTION sweep_cell_has_both() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM fresh WHERE NOT EXISTS (SELECT 1 FROM cell WHERE id = fresh.cell))
    THEN
        PERFORM no_such('cell');
    END IF;
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT sweep FROM fresh) AS named
               WHERE NOT EXISTS (SELECT 1 FROM sweep WHERE id = named.sweep))
    THEN
        PERFORM no_such('sweep');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sweep_cell_has_both AFTER INSERT ON sweep_cell REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION sweep_cell_has_both();

CREATE FUNCTION job_has_a_cell() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT cell FROM fresh) AS named
               WHERE NOT EXISTS (SELECT 1 FROM cell WHERE id = named.cell))
    THEN
        PERFORM no_such('cell');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER job_has_a_cell AFTER INSERT ON job REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION job_has_a_cell();

CREATE TRIGGER sweep_keeps_its_key BEFORE UPDATE ON sweep FOR EACH ROW
WHEN ((OLD.id, OLD.digest) IS DISTINCT FROM (NEW.id, NEW.digest))
EXECUTE FUNCTION refuse('what a sweep is named by never changes');

CREATE TRIGGER sweep_cell_keeps_both BEFORE UPDATE ON sweep_cell FOR EACH ROW
WHEN ((OLD.sweep, OLD.position, OLD.cell) IS DISTINCT FROM (NEW.sweep, NEW.position, NEW.cell))
EXECUTE FUNCTION refuse('the cells of a sweep never change');

CREATE TRIGGER cell_keeps_its_name BEFORE UPDATE ON cell FOR EACH ROW
WHEN ((OLD.id, OLD.digest, OLD.spec) IS DISTINCT FROM (NEW.id, NEW.digest, NEW.spec))
EXECUTE FUNCTION refuse('what a cell computes never changes');

CREATE TRIGGER worker_keeps_its_name BEFORE UPDATE ON worker FOR EACH ROW
WHEN ((OLD.id, OLD.name) IS DISTINCT FROM (NEW.id, NEW.name))
EXECUTE FUNCTION refuse('the name of a worker never changes');

CREATE TRIGGER attempt_keeps_its_grant BEFORE UPDATE ON attempt FOR EACH ROW
WHEN ((OLD.job, OLD.attempt, OLD.worker, OLD.session, OLD.granted_at)
      IS DISTINCT FROM (NEW.job, NEW.attempt, NEW.worker, NEW.session, NEW.granted_at))
EXECUTE FUNCTION refuse('a grant never changes');

CREATE TRIGGER provenance_never_changes BEFORE UPDATE ON provenance FOR EACH ROW
EXECUTE FUNCTION refuse('a provenance never changes');

CREATE TRIGGER sweep_stays BEFORE DELETE ON sweep FOR EACH ROW
EXECUTE FUNCTION refuse('sweeps are never deleted');
CREATE TRIGGER cell_stays BEFORE DELETE ON cell FOR EACH ROW
EXECUTE FUNCTION refuse('cells are never deleted');
CREATE TRIGGER worker_stays BEFORE DELETE ON worker FOR EACH ROW
EXECUTE FUNCTION refuse('workers are never deleted');
CREATE TRIGGER attempt_stays BEFORE DELETE ON attempt FOR EACH ROW
EXECUTE FUNCTION refuse('attempts are never deleted');
CREATE TRIGGER provenance_stays BEFORE DELETE ON provenance FOR EACH ROW
EXECUTE FUNCTION refuse('provenances are never deleted');

CREATE TRIGGER job_keeps_its_name BEFORE UPDATE ON job FOR EACH ROW
WHEN ((OLD.id, OLD.digest, OLD.cell, OLD.replicate, OLD.seed)
      IS DISTINCT FROM (NEW.id, NEW.digest, NEW.cell, NEW.replicate, NEW.seed))
EXECUTE FUNCTION refuse('what a job computes never changes');

CREATE TRIGGER job_stays BEFORE DELETE ON job FOR EACH ROW
EXECUTE FUNCTION refuse('jobs are never deleted');

CREATE TRIGGER job_stays_succeeded BEFORE UPDATE ON job FOR EACH ROW
WHEN (OLD.state = 'succeeded')
EXECUTE FUNCTION refuse('a succeeded job never changes');

CREATE TRIGGER outcome_never_changes BEFORE UPDATE ON outcome FOR EACH ROW
EXECUTE FUNCTION refuse('an outcome never changes');

CREATE TRIGGER outcome_stays BEFORE DELETE ON outcome FOR EACH ROW
EXECUTE FUNCTION refuse('outcomes are never deleted');

CREATE TRIGGER attempt_ends_once
BEFORE UPDATE OF ended, ended_at, message, provenance ON attempt FOR EACH ROW
WHEN (OLD.ended IS NOT NULL)
EXECUTE FUNCTION refuse('the end of an attempt is recorded once');

-- Neither can whole tables go.
CREATE TRIGGER sweeps_stay BEFORE TRUNCATE ON sweep
EXECUTE FUNCTION refuse('sweeps are never deleted');
CREATE TRIGGER cells_stay BEFORE TRUNCATE ON cell
EXECUTE FUNCTION refuse('cells are never deleted');
CREATE TRIGGER workers_stay BEFORE TRUNCATE ON worker
EXECUTE FUNCTION refuse('workers are never deleted');
CREATE TRIGGER jobs_stay BEFORE TRUNCATE ON job
EXECUTE FUNCTION refuse('jobs are never deleted');
CREATE TRIGGER attempts_stay BEFORE TRUNCATE ON attempt
EXECUTE FUNCTION refuse('attempts are never deleted');
CREATE TRIGGER outcomes_stay BEFORE TRUNCATE ON outcome
EXECUTE FUNCTION refuse('outcomes are never deleted');
CREATE TRIGGER provenances_stay BEFORE TRUNCATE ON provenance
EXECUTE FUNCTION refuse('provenances are never deleted');
