-- What a sweep's jobs come to, kept as they change: to count a million jobs
-- takes seconds, and every list of sweeps needs it.

CREATE TABLE sweep_counts (
    sweep     INTEGER PRIMARY KEY REFERENCES sweep (id),
    cells     INTEGER NOT NULL CHECK (cells >= 0),
    queued    INTEGER NOT NULL DEFAULT 0 CHECK (queued >= 0),
    leased    INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    suspect   INTEGER NOT NULL DEFAULT 0 CHECK (suspect >= 0),
    succeeded INTEGER NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed    INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),  -- without the diverged ones
    diverged  INTEGER NOT NULL DEFAULT 0 CHECK (diverged >= 0),
    cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    -- When the last of its jobs ended. A job that starts over ends later than
    -- it did, so this holds again by the time that every job is final.
    ended_at  INTEGER
) STRICT;

INSERT INTO sweep_counts
SELECT sweep.id,
       (SELECT count(*) FROM sweep_cell WHERE sweep_cell.sweep = sweep.id),
       count(*) FILTER (WHERE job.state = 'queued'),
       count(*) FILTER (WHERE job.state = 'leased'),
       count(*) FILTER (WHERE job.state = 'suspect'),
       count(*) FILTER (WHERE job.state = 'succeeded'),
       count(*) FILTER (WHERE job.fault <> 'diverged'),
       count(*) FILTER (WHERE job.fault = 'diverged'),
       count(*) FILTER (WHERE job.state = 'cancelled'),
       max(job.ended_at)
FROM sweep
LEFT JOIN sweep_job ON sweep_job.sweep = sweep.id
LEFT JOIN job ON job.id = sweep_job.job
GROUP BY sweep.id;

-- A sweep's jobs all exist when it is stored, so none joins it later.
CREATE TRIGGER job_is_counted AFTER UPDATE OF state, fault ON job
WHEN NEW.state <> OLD.state OR NEW.fault IS NOT OLD.fault
BEGIN
    UPDATE sweep_counts SET
        queued = queued - (OLD.state = 'queued') + (NEW.state = 'queued'),
        leased = leased - (OLD.state = 'leased') + (NEW.state = 'leased'),
        suspect = suspect - (OLD.state = 'suspect') + (NEW.state = 'suspect'),
        succeeded = succeeded - (OLD.state = 'succeeded') + (NEW.state = 'succeeded'),
        failed = failed - coalesce(OLD.fault <> 'diverged', 0) + coalesce(NEW.fault <> 'diverged', 0),
        diverged = diverged - coalesce(OLD.fault = 'diverged', 0)
            + coalesce(NEW.fault = 'diverged', 0),
        cancelled = cancelled - (OLD.state = 'cancelled') + (NEW.state = 'cancelled'),
        ended_at = max(coalesce(ended_at, NEW.ended_at), coalesce(NEW.ended_at, ended_at))
    WHERE sweep IN (
        SELECT sweep.id FROM sweep_cell JOIN sweep ON sweep.id = sweep_cell.sweep
        WHERE sweep_cell.cell = NEW.cell AND sweep.replicates >= NEW.replicate);
END;

-- What failed last, without a look at all that failed.
CREATE INDEX job_failed_last ON job (ended_at DESC, id) WHERE state = 'failed';
