-- What a sweep's jobs come to, kept as they change: to count a million jobs
-- takes seconds, and every list of sweeps needs it.

CREATE TABLE sweep_counts (
    sweep     bigint PRIMARY KEY REFERENCES sweep (id),
    cells     bigint NOT NULL CHECK (cells >= 0),
    queued    bigint NOT NULL DEFAULT 0 CHECK (queued >= 0),
    leased    bigint NOT NULL DEFAULT 0 CHECK (leased >= 0),
    suspect   bigint NOT NULL DEFAULT 0 CHECK (suspect >= 0),
    succeeded bigint NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed    bigint NOT NULL DEFAULT 0 CHECK (failed >= 0),  -- without the diverged ones
    diverged  bigint NOT NULL DEFAULT 0 CHECK (diverged >= 0),
    cancelled bigint NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    -- When the last of its jobs ended. A job that starts over ends later than
    -- it did, so this holds again by the time that every job is final.
    ended_at  bigint
) WITH (fillfactor = 50);

-- What failed last, without a look at all that failed.
CREATE INDEX job_failed_last ON job (ended_at DESC, id) WHERE fault IS NOT NULL;
