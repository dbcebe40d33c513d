-- An outcome can be thrown away: what was trained was not what the job's name
-- says. Its attempt says when, and the job is queued again. This is the only way
-- in which a job that has succeeded changes.

ALTER TABLE attempt ADD COLUMN forgotten_at bigint;

-- One commit may hold that an attempt ended and was forgotten, and how it ended is
-- written after this.
CREATE TRIGGER attempt_is_forgotten_once BEFORE UPDATE OF forgotten_at ON attempt FOR EACH ROW
WHEN (OLD.forgotten_at IS NOT NULL
      OR (OLD.ended IS NOT NULL AND OLD.ended <> 'measured' AND OLD.ended <> 'diverged'))
EXECUTE FUNCTION refuse('only a result is forgotten, and only once');

DROP TRIGGER job_stays_succeeded ON job;

-- It may have been granted and have ended again since.
CREATE FUNCTION job_stays_succeeded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.attempt <= OLD.attempt AND NEW.state <> 'queued' AND NEW.state <> 'cancelled')
        OR NOT EXISTS (
            SELECT 1 FROM attempt
            WHERE attempt.job = OLD.id AND attempt.attempt = OLD.attempt
              AND attempt.forgotten_at IS NOT NULL)
    THEN
        PERFORM keep('a succeeded job never changes, unless its outcome is forgotten');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER job_stays_succeeded BEFORE UPDATE ON job FOR EACH ROW
WHEN (OLD.state = 'succeeded')
EXECUTE FUNCTION job_stays_succeeded();

-- The row of the job is still that of before the commit.
CREATE OR REPLACE FUNCTION outcome_is_of_an_open_attempt() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh
        LEFT JOIN job ON job.id = fresh.job
        LEFT JOIN attempt ON attempt.job = fresh.job AND attempt.attempt = fresh.attempt
        WHERE attempt.job IS NULL OR job.id IS NULL OR attempt.ended IS NOT NULL
           OR attempt.forgotten_at IS NOT NULL OR job.attempt > fresh.attempt
           OR (job.attempt = fresh.attempt
               AND (job.closed OR job.state NOT IN ('queued', 'leased', 'suspect')))
           OR (job.state = 'succeeded' AND NOT EXISTS (
                  SELECT 1 FROM attempt AS before
                  WHERE before.job = fresh.job AND before.attempt = job.attempt
                    AND before.forgotten_at IS NOT NULL))
           OR EXISTS (
                  SELECT 1 FROM attempt AS newer
                  WHERE newer.job = fresh.job AND newer.attempt > fresh.attempt))
    THEN
        RAISE EXCEPTION 'an outcome is of the newest attempt of a job that is not final'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER outcome_stays ON outcome;

CREATE FUNCTION outcome_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM gone JOIN job ON job.id = gone.job JOIN sweep_cell ON sweep_cell.cell = job.cell
        WHERE sweep_cell.replicates >= job.replicate AND NOT EXISTS (
            SELECT 1 FROM attempt
            WHERE attempt.job = gone.job AND attempt.attempt = gone.attempt
              AND attempt.forgotten_at IS NOT NULL))
    THEN
        PERFORM keep('an outcome of a job that a sweep holds is never deleted, unless it is forgotten');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER outcome_stays AFTER DELETE ON outcome REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION outcome_stays();
