-- An outcome can be thrown away: what was trained was not what the job's name
-- says. Its attempt says when, and the job is queued again. This is the only way
-- in which a job that has succeeded changes.

ALTER TABLE attempt ADD COLUMN forgotten_at INTEGER;

-- One commit may hold that an attempt ended and was forgotten, and how it ended is
-- written after this.
CREATE TRIGGER attempt_is_forgotten_once BEFORE UPDATE OF forgotten_at ON attempt
WHEN OLD.forgotten_at IS NOT NULL
  OR (OLD.ended IS NOT NULL AND OLD.ended <> 'measured' AND OLD.ended <> 'diverged')
BEGIN
    SELECT RAISE(ABORT, 'only a result is forgotten, and only once');
END;

DROP TRIGGER job_stays_succeeded;

-- It may have been granted and have ended again since.
CREATE TRIGGER job_stays_succeeded BEFORE UPDATE ON job
WHEN OLD.state = 'succeeded'
 AND ((NEW.attempt <= OLD.attempt AND NEW.state <> 'queued' AND NEW.state <> 'cancelled')
      OR NOT EXISTS (SELECT 1 FROM attempt
                     WHERE job = OLD.id AND attempt = OLD.attempt AND forgotten_at IS NOT NULL))
BEGIN
    SELECT RAISE(ABORT, 'a succeeded job never changes, unless its outcome is forgotten');
END;

DROP TRIGGER outcome_is_of_an_open_attempt;

-- The row of its job is still that of before the commit.
CREATE TRIGGER outcome_is_of_an_open_attempt BEFORE INSERT ON outcome
WHEN NOT EXISTS (SELECT 1 FROM job
                 WHERE id = NEW.job
                   AND CASE WHEN attempt = NEW.attempt
                       THEN closed = 0 AND ended_at IS NULL
                       ELSE attempt < NEW.attempt
                        AND (state <> 'succeeded' OR EXISTS (
                                SELECT 1 FROM attempt
                                WHERE attempt.job = job.id AND attempt.attempt = job.attempt
                                  AND attempt.forgotten_at IS NOT NULL)) END)
  OR NOT EXISTS (SELECT 1 FROM attempt
                 WHERE job = NEW.job AND attempt = NEW.attempt AND ended IS NULL
                   AND forgotten_at IS NULL)
  OR EXISTS (SELECT 1 FROM attempt WHERE job = NEW.job AND attempt > NEW.attempt)
BEGIN
    SELECT RAISE(ABORT, 'an outcome is of the newest attempt of a job that is not final');
END;

DROP TRIGGER outcome_stays;

CREATE TRIGGER outcome_stays BEFORE DELETE ON outcome
WHEN EXISTS (SELECT 1 FROM job JOIN sweep_cell ON sweep_cell.cell = job.cell
             WHERE job.id = OLD.job AND sweep_cell.replicates >= job.replicate)
 AND NOT EXISTS (SELECT 1 FROM attempt
                 WHERE job = OLD.job AND attempt = OLD.attempt AND forgotten_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'an outcome of a job that a sweep holds is never deleted, unless it is forgotten');
END;
