-- The engine decides in memory and assigns every key; what lies here is what it
-- decided. It queues by itself, so no priority is kept beside a job, and it
-- counts the jobs of a sweep by itself. One commit holds many steps, maybe
-- several of one job: the checks are of where these steps lead.

DROP TRIGGER job_is_counted;
DROP INDEX job_queue;
DROP INDEX job_backoff;
DROP INDEX job_lease;
ALTER TABLE job DROP COLUMN priority;

-- Cells with work left: what the engine begins with. A job has an end when it
-- is final, and that is asked faster than its state.
CREATE INDEX job_open ON job (cell) WHERE ended_at IS NULL;

-- The same checks in other words. For a list of more than two values SQLite
-- fills a table of its own each time that it checks a row, which cost more than
-- to write the row. https://www.sqlite.org/lang_altertable.html#otheralter
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql,
    '(state IN (''queued'', ''leased'', ''suspect'', ''succeeded'', ''failed'', ''cancelled''))',
    '(state = ''queued'' OR state = ''leased'' OR state = ''suspect'' OR state = ''succeeded''
         OR state = ''failed'' OR state = ''cancelled'')'),
    '(fault IN (''lost'', ''crashed'', ''out_of_memory'', ''diverged'', ''invalid'', ''timed_out''))',
    '(fault = ''lost'' OR fault = ''crashed'' OR fault = ''out_of_memory'' OR fault = ''diverged''
         OR fault = ''invalid'' OR fault = ''timed_out'')'),
    '(state IN (''succeeded'', ''failed'', ''cancelled''))',
    '(state = ''succeeded'' OR state = ''failed'' OR state = ''cancelled'')'),
    '(attempt > 0 OR state IN (''queued'', ''failed'', ''cancelled''))',
    '(attempt > 0 OR state = ''queued'' OR state = ''failed'' OR state = ''cancelled'')')
WHERE type = 'table' AND name = 'job';
UPDATE sqlite_schema SET sql = replace(sql,
    '(ended IN (''measured'', ''released'', ''lost'', ''crashed'', ''out_of_memory'',
                                     ''diverged'', ''invalid'', ''timed_out''))',
    '(ended = ''measured'' OR ended = ''released'' OR ended = ''lost'' OR ended = ''crashed''
                     OR ended = ''out_of_memory'' OR ended = ''diverged'' OR ended = ''invalid''
                     OR ended = ''timed_out'')')
WHERE type = 'table' AND name = 'attempt';
PRAGMA writable_schema = RESET;

DROP TRIGGER job_leaves_an_end_for_the_queue;

-- It may have waited, been granted and ended again since.
CREATE TRIGGER job_leaves_an_end_for_the_queue BEFORE UPDATE OF state ON job
WHEN OLD.state IN ('failed', 'cancelled') AND NEW.state NOT IN (OLD.state, 'queued', 'cancelled')
 AND NEW.attempt <= OLD.attempt
BEGIN
    SELECT RAISE(ABORT, 'a failed or cancelled job can only be queued again');
END;

DROP TRIGGER job_attempt_rises_at_a_grant;

CREATE TRIGGER job_attempt_rises_at_a_grant BEFORE UPDATE OF attempt ON job
WHEN NEW.attempt <> OLD.attempt
 AND (NEW.attempt < OLD.attempt
      OR NOT EXISTS (SELECT 1 FROM attempt WHERE job = OLD.id AND attempt = NEW.attempt))
BEGIN
    SELECT RAISE(ABORT, 'the attempt of a job rises to one that was granted and in no other way');
END;

CREATE TRIGGER attempt_is_the_next BEFORE INSERT ON attempt
WHEN NEW.attempt <> 1 + coalesce((SELECT max(attempt) FROM attempt WHERE job = NEW.job), 0)
  OR NEW.attempt <= (SELECT attempt FROM job WHERE id = NEW.job)
BEGIN
    SELECT RAISE(ABORT, 'attempts are granted one after the other');
END;

DROP TRIGGER job_succeeds_with_an_outcome;

CREATE TRIGGER job_succeeds_with_an_outcome BEFORE UPDATE OF state ON job
WHEN NEW.state = 'succeeded'
 AND NOT EXISTS (SELECT 1 FROM outcome WHERE job = OLD.id AND attempt = NEW.attempt)
BEGIN
    SELECT RAISE(ABORT, 'a job succeeds with the outcome of its newest attempt');
END;

DROP TRIGGER outcome_is_of_an_open_attempt;

-- The row of its job is still that of before the commit.
CREATE TRIGGER outcome_is_of_an_open_attempt BEFORE INSERT ON outcome
WHEN NOT EXISTS (SELECT 1 FROM job
                 WHERE id = NEW.job
                   AND CASE WHEN attempt = NEW.attempt
                       THEN closed = 0 AND ended_at IS NULL
                       ELSE attempt < NEW.attempt AND state <> 'succeeded' END)
  OR NOT EXISTS (SELECT 1 FROM attempt
                 WHERE job = NEW.job AND attempt = NEW.attempt AND ended IS NULL)
  OR EXISTS (SELECT 1 FROM attempt WHERE job = NEW.job AND attempt > NEW.attempt)
BEGIN
    SELECT RAISE(ABORT, 'an outcome is of the newest attempt of a job that is not final');
END;

DROP TRIGGER grant_request_forgets;

-- A worker repeats a request only until it is answered: the last few of its
-- newest session are enough.
CREATE TRIGGER grant_request_forgets AFTER INSERT ON grant_request
BEGIN
    DELETE FROM grant_request
    WHERE worker = NEW.worker
      AND session < (SELECT session FROM worker WHERE id = NEW.worker);
    DELETE FROM grant_request
    WHERE worker = NEW.worker AND session = NEW.session AND request < (
        SELECT min(request) FROM (
            SELECT request FROM grant_request
            WHERE worker = NEW.worker AND session = NEW.session
            ORDER BY request DESC LIMIT 16));
END;

CREATE TRIGGER worker_forgets_requests AFTER UPDATE OF session ON worker
WHEN NEW.session > OLD.session
BEGIN
    DELETE FROM grant_request WHERE worker = NEW.id AND session < NEW.session;
END;
