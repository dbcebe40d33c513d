-- One engine decides in memory, and a commit writes what it decided of many
-- steps at once: attempts, outcomes, ends, jobs, in this order.

-- The jobs that the engine begins with.
CREATE INDEX job_open ON job (cell) WHERE ended_at IS NULL;

-- The coordinator whose commits are taken. It is locked for as long as one is
-- under way, so that nobody can take over in the middle of it.
CREATE TABLE leader (
    one    boolean     PRIMARY KEY DEFAULT true CHECK (one),
    term   bigint      NOT NULL CHECK (term >= 0),
    holder text        NOT NULL,               -- where it can be reached
    until  timestamptz NOT NULL                -- on this server's clock
) WITH (fillfactor = 10);

INSERT INTO leader (term, holder, until) VALUES (0, '', '-infinity');

CREATE TRIGGER term_only_rises BEFORE UPDATE ON leader FOR EACH ROW
WHEN (NEW.term < OLD.term)
EXECUTE FUNCTION refuse('the term only rises');

CREATE TRIGGER leader_stays BEFORE DELETE ON leader FOR EACH ROW
EXECUTE FUNCTION refuse('there is always a term');

-- Each trigger looks at all rows of a statement together.

CREATE FUNCTION attempt_is_the_next() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM fresh WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = fresh.job))
    THEN
        PERFORM no_such('job');
    END IF;
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT worker FROM fresh) AS named
               WHERE NOT EXISTS (SELECT 1 FROM worker WHERE id = named.worker))
    THEN
        PERFORM no_such('worker');
    END IF;
    IF EXISTS (
        SELECT 1 FROM fresh JOIN job ON job.id = fresh.job
        WHERE fresh.attempt <= job.attempt
           OR (fresh.attempt > 1 AND NOT EXISTS (
                   SELECT 1 FROM attempt
                   WHERE attempt.job = fresh.job AND attempt.attempt = fresh.attempt - 1)))
    THEN
        RAISE EXCEPTION 'attempts are granted one after the other'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER attempt_is_the_next AFTER INSERT ON attempt REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION attempt_is_the_next();

-- What an attempt ran on is there.
CREATE FUNCTION attempt_has_a_provenance() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT provenance FROM fresh) AS named
               WHERE named.provenance IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM provenance WHERE id = named.provenance))
    THEN
        PERFORM no_such('provenance');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER attempt_has_a_provenance AFTER UPDATE ON attempt REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION attempt_has_a_provenance();
CREATE TRIGGER attempt_comes_with_a_provenance AFTER INSERT ON attempt
REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION attempt_has_a_provenance();
CREATE TRIGGER outcome_has_a_provenance AFTER INSERT ON outcome REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION attempt_has_a_provenance();

-- The row of the job is still that of before the commit.
CREATE FUNCTION outcome_is_of_an_open_attempt() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh
        LEFT JOIN job ON job.id = fresh.job
        LEFT JOIN attempt ON attempt.job = fresh.job AND attempt.attempt = fresh.attempt
        WHERE attempt.job IS NULL OR job.id IS NULL OR attempt.ended IS NOT NULL
           OR job.state = 'succeeded' OR job.attempt > fresh.attempt
           OR (job.attempt = fresh.attempt
               AND (job.closed OR job.state NOT IN ('queued', 'leased', 'suspect')))
           OR EXISTS (
                  SELECT 1 FROM attempt AS newer
                  WHERE newer.job = fresh.job AND newer.attempt > fresh.attempt))
    THEN
        RAISE EXCEPTION 'an outcome is of the newest attempt of a job that is not final'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER outcome_is_of_an_open_attempt AFTER INSERT ON outcome
REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION outcome_is_of_an_open_attempt();

-- It may have waited, been granted and ended again since.
CREATE TRIGGER job_leaves_an_end_for_the_queue BEFORE UPDATE ON job FOR EACH ROW
WHEN (OLD.state IN ('failed', 'cancelled') AND NEW.state NOT IN (OLD.state, 'queued', 'cancelled')
      AND NEW.attempt <= OLD.attempt)
EXECUTE FUNCTION refuse('a failed or cancelled job can only be queued again');

CREATE TRIGGER job_attempt_never_falls BEFORE UPDATE ON job FOR EACH ROW
WHEN (NEW.attempt < OLD.attempt)
EXECUTE FUNCTION refuse('the attempt of a job rises to one that was granted and in no other way');

CREATE FUNCTION job_is_backed() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT worker FROM fresh) AS named
               WHERE named.worker IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM worker WHERE id = named.worker))
    THEN
        PERFORM no_such('worker');
    END IF;
    IF EXISTS (
        SELECT 1 FROM fresh
        WHERE fresh.attempt > 0 AND NOT EXISTS (
            SELECT 1 FROM attempt
            WHERE attempt.job = fresh.id AND attempt.attempt = fresh.attempt))
    THEN
        RAISE EXCEPTION 'the attempt of a job rises to one that was granted and in no other way'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME,
                CONSTRAINT = 'job_attempt_rises_at_a_grant';
    END IF;
    IF EXISTS (
        SELECT 1 FROM fresh
        WHERE fresh.state = 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM outcome
            WHERE outcome.job = fresh.id AND outcome.attempt = fresh.attempt))
    THEN
        RAISE EXCEPTION 'a job succeeds with the outcome of its newest attempt'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME,
                CONSTRAINT = 'job_succeeds_with_an_outcome';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER job_is_backed AFTER UPDATE ON job REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION job_is_backed();

-- Nothing has happened to it yet.
CREATE TRIGGER job_begins_queued BEFORE INSERT ON job FOR EACH ROW
WHEN (NEW.state <> 'queued' OR NEW.attempt <> 0)
EXECUTE FUNCTION refuse('a new job is queued and was never granted');

-- A worker repeats a request only until it is answered: the last few are
-- enough, and none of an older session. Requests are unsigned.
CREATE FUNCTION grant_request_forgets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM grant_request USING (
        SELECT kept.worker, kept.session, kept.request, row_number() OVER (
                   PARTITION BY kept.worker, kept.session
                   ORDER BY kept.request < 0 DESC, kept.request DESC) AS place,
               kept.session < worker.session AS older
        FROM grant_request AS kept JOIN worker ON worker.id = kept.worker
        WHERE kept.worker IN (SELECT fresh.worker FROM fresh)) AS ranked
    WHERE (ranked.place > 16 OR ranked.older) AND grant_request.worker = ranked.worker
      AND grant_request.session = ranked.session AND grant_request.request = ranked.request;
    RETURN NULL;
END $$;

CREATE TRIGGER grant_request_forgets AFTER INSERT ON grant_request
REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION grant_request_forgets();

CREATE FUNCTION worker_forgets_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM grant_request WHERE worker = NEW.id AND session < NEW.session;
    RETURN NULL;
END $$;

CREATE TRIGGER worker_forgets_requests AFTER UPDATE OF session ON worker FOR EACH ROW
WHEN (NEW.session > OLD.session)
EXECUTE FUNCTION worker_forgets_requests();
