-- What people call a sweep and say of it: versions under one name, an owner,
-- tags, a note, and whether lists leave it out.

-- Which of the sweeps of its name it is.
ALTER TABLE sweep ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version BETWEEN 1 AND 4294967295);
-- JSON object: what is said of it beside the name.
ALTER TABLE sweep ADD COLUMN label TEXT NOT NULL DEFAULT '{}';

UPDATE sweep SET
    version = (SELECT count(*) FROM sweep AS other
               WHERE other.name = sweep.name AND other.id <= sweep.id),
    label = json_object('last_submitted_at', submitted_at);

CREATE UNIQUE INDEX sweep_by_name ON sweep (name, version);

-- A sweep can be deleted, with what no other sweep holds: first its label says
-- so, then it loses its cells, then the jobs go that are of no sweep any more,
-- with everything about them, and last the sweep.

CREATE TRIGGER sweep_keeps_its_cells BEFORE DELETE ON sweep_cell
WHEN coalesce((SELECT label ->> 'deleting' FROM sweep WHERE id = OLD.sweep), 0) <> 1
BEGIN
    SELECT RAISE(ABORT, 'only a sweep that is being deleted loses cells');
END;

CREATE TRIGGER sweep_stays BEFORE DELETE ON sweep
WHEN coalesce(OLD.label ->> 'deleting', 0) <> 1
BEGIN
    SELECT RAISE(ABORT, 'only a sweep that is being deleted goes');
END;

DROP TRIGGER job_stays;

CREATE TRIGGER job_stays BEFORE DELETE ON job
WHEN EXISTS (SELECT 1 FROM sweep_cell WHERE cell = OLD.cell AND replicates >= OLD.replicate)
BEGIN
    SELECT RAISE(ABORT, 'a job that a sweep holds is never deleted');
END;

DROP TRIGGER outcome_stays;

CREATE TRIGGER outcome_stays BEFORE DELETE ON outcome
WHEN EXISTS (SELECT 1 FROM job JOIN sweep_cell ON sweep_cell.cell = job.cell
             WHERE job.id = OLD.job AND sweep_cell.replicates >= job.replicate)
BEGIN
    SELECT RAISE(ABORT, 'an outcome of a job that a sweep holds is never deleted');
END;

CREATE TRIGGER attempt_stays BEFORE DELETE ON attempt
WHEN EXISTS (SELECT 1 FROM job JOIN sweep_cell ON sweep_cell.cell = job.cell
             WHERE job.id = OLD.job AND sweep_cell.replicates >= job.replicate)
BEGIN
    SELECT RAISE(ABORT, 'an attempt of a job that a sweep holds is never deleted');
END;

CREATE TRIGGER worker_stays BEFORE DELETE ON worker
BEGIN
    SELECT RAISE(ABORT, 'workers are never deleted');
END;

-- Whether it is gone for good: lists leave it out until it says hello again.
ALTER TABLE worker ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0
    CHECK (forgotten = 0 OR forgotten = 1);
