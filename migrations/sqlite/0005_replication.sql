-- Sweeps whose results decide how many replicates a cell gets: each cell has its
-- own number of them, and every decision is kept.

-- Jobs of this cell that the sweep holds: replicates 1 to so many. At first
-- those of the sweep.
ALTER TABLE sweep_cell ADD COLUMN replicates INTEGER NOT NULL DEFAULT 0
    CHECK (replicates BETWEEN 0 AND 4294967295);

UPDATE sweep_cell SET
    replicates = (SELECT sweep.replicates FROM sweep WHERE sweep.id = sweep_cell.sweep);

DROP VIEW sweep_job;

CREATE VIEW sweep_job AS
SELECT sweep_cell.sweep, sweep_cell.position, job.replicate, job.id AS job
FROM sweep_cell
JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= sweep_cell.replicates;

DROP TRIGGER job_is_counted;

-- A job that joins a sweep later is counted by whoever lets it.
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
        SELECT sweep_cell.sweep FROM sweep_cell
        WHERE sweep_cell.cell = NEW.cell AND sweep_cell.replicates >= NEW.replicate);
END;

-- How far the replicates of a sweep are decided; one row where results decide.
CREATE TABLE replication (
    sweep      INTEGER PRIMARY KEY REFERENCES sweep (id),
    most       INTEGER NOT NULL CHECK (most BETWEEN 1 AND 4294967295),
    rounds     INTEGER NOT NULL DEFAULT 0 CHECK (rounds >= 0),
    seeds      INTEGER NOT NULL DEFAULT 0 CHECK (seeds >= 0),
    settled_at INTEGER,
    -- When the last job had ended that the last look was at: the sweep is
    -- settled as long as none has ended since.
    as_of      INTEGER,
    pairs      INTEGER NOT NULL DEFAULT 0,
    undecided  INTEGER NOT NULL DEFAULT 0,
    verdict    TEXT,                           -- JSON
    CONSTRAINT settled_has_a_verdict CHECK
        ((settled_at IS NULL) = (as_of IS NULL) AND (as_of IS NULL) = (verdict IS NULL))
) STRICT;

CREATE TABLE decision (
    sweep      INTEGER NOT NULL REFERENCES replication (sweep),
    place      INTEGER NOT NULL CHECK (place >= 1),
    round      INTEGER NOT NULL CHECK (round >= 1),
    decided_at INTEGER NOT NULL,
    cell       INTEGER NOT NULL REFERENCES cell (id),
    replicate  INTEGER NOT NULL CHECK (replicate BETWEEN 1 AND 4294967295),
    pair       TEXT    NOT NULL,               -- JSON: the reason
    PRIMARY KEY (sweep, place),
    UNIQUE (sweep, cell, replicate)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER decision_never_changes BEFORE UPDATE ON decision
BEGIN
    SELECT RAISE(ABORT, 'a decision never changes');
END;
