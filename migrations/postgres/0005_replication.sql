-- Sweeps whose results decide how many replicates a cell gets: each cell has its
-- own number of them, and every decision is kept.

-- Jobs of this cell that the sweep holds: replicates 1 to so many. At first
-- those of the sweep.
ALTER TABLE sweep_cell ADD COLUMN replicates bigint NOT NULL DEFAULT 0
    CHECK (replicates BETWEEN 0 AND 4294967295);

-- What a sweep wants of its cells' jobs.
CREATE VIEW sweep_job AS
SELECT sweep_cell.sweep, sweep_cell.position, job.replicate, job.id AS job
FROM sweep_cell
JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= sweep_cell.replicates;

-- How far the replicates of a sweep are decided; one row where results decide.
CREATE TABLE replication (
    sweep      bigint PRIMARY KEY REFERENCES sweep (id),
    most       bigint NOT NULL CHECK (most BETWEEN 1 AND 4294967295),
    rounds     bigint NOT NULL DEFAULT 0 CHECK (rounds >= 0),
    seeds      bigint NOT NULL DEFAULT 0 CHECK (seeds >= 0),
    settled_at bigint,
    -- When the last job had ended that the last look was at: the sweep is
    -- settled as long as none has ended since.
    as_of      bigint,
    pairs      bigint NOT NULL DEFAULT 0,
    undecided  bigint NOT NULL DEFAULT 0,
    verdict    text,                           -- JSON
    CONSTRAINT settled_has_a_verdict CHECK
        ((settled_at IS NULL) = (as_of IS NULL) AND (as_of IS NULL) = (verdict IS NULL))
);

CREATE TABLE decision (
    sweep      bigint NOT NULL REFERENCES replication (sweep),
    place      bigint NOT NULL CHECK (place >= 1),
    round      bigint NOT NULL CHECK (round >= 1),
    decided_at bigint NOT NULL,
    cell       bigint NOT NULL REFERENCES cell (id),
    replicate  bigint NOT NULL CHECK (replicate BETWEEN 1 AND 4294967295),
    pair       text   NOT NULL,                -- JSON: the reason
    PRIMARY KEY (sweep, place),
    UNIQUE (sweep, cell, replicate)
);

CREATE TRIGGER decision_never_changes BEFORE UPDATE ON decision FOR EACH ROW
EXECUTE FUNCTION refuse('a decision never changes');
