-- What people call a sweep and say of it: versions under one name, an owner,
-- tags, a note, and whether lists leave it out.

-- Which of the sweeps of its name it is.
ALTER TABLE sweep ADD COLUMN version bigint NOT NULL DEFAULT 1
    CHECK (version BETWEEN 1 AND 4294967295);
-- JSON object: what is said of it beside the name.
ALTER TABLE sweep ADD COLUMN label text NOT NULL DEFAULT '{}';

UPDATE sweep SET
    version = (SELECT count(*) FROM sweep AS other
               WHERE other.name = sweep.name AND other.id <= sweep.id),
    label = json_build_object('last_submitted_at', submitted_at)::text;

CREATE UNIQUE INDEX sweep_by_name ON sweep (name, version);

-- A sweep can be deleted, with what no other sweep holds: first its label says
-- so, then it loses its cells, then the jobs go that are of no sweep any more,
-- with everything about them, and last the sweep. Each trigger looks at all rows
-- of a statement together; nothing but a deletion fires them.

DROP TRIGGER sweep_stays ON sweep;
DROP TRIGGER cell_stays ON cell;
DROP TRIGGER attempt_stays ON attempt;
DROP TRIGGER job_stays ON job;
DROP TRIGGER outcome_stays ON outcome;

CREATE FUNCTION keep(why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = why, ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION sweep_keeps_its_cells() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT sweep FROM gone) AS named JOIN sweep ON sweep.id = named.sweep
        WHERE (sweep.label::json ->> 'deleting') IS DISTINCT FROM 'true')
    THEN
        PERFORM keep('only a sweep that is being deleted loses cells');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sweep_keeps_its_cells AFTER DELETE ON sweep_cell REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION sweep_keeps_its_cells();

CREATE FUNCTION sweep_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM gone WHERE (label::json ->> 'deleting') IS DISTINCT FROM 'true')
    THEN
        PERFORM keep('only a sweep that is being deleted goes');
    END IF;
    IF EXISTS (SELECT 1 FROM gone JOIN sweep_cell ON sweep_cell.sweep = gone.id) THEN
        PERFORM keep('a sweep that has cells is never deleted');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sweep_stays AFTER DELETE ON sweep REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION sweep_stays();

CREATE FUNCTION cell_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM gone JOIN sweep_cell ON sweep_cell.cell = gone.id)
        OR EXISTS (SELECT 1 FROM gone JOIN job ON job.cell = gone.id)
    THEN
        PERFORM keep('a cell of a sweep, or with jobs, is never deleted');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER cell_stays AFTER DELETE ON cell REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION cell_stays();

CREATE FUNCTION job_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM gone JOIN sweep_cell ON sweep_cell.cell = gone.cell
        WHERE sweep_cell.replicates >= gone.replicate)
    THEN
        PERFORM keep('a job that a sweep holds is never deleted');
    END IF;
    IF EXISTS (SELECT 1 FROM gone JOIN attempt ON attempt.job = gone.id)
        OR EXISTS (SELECT 1 FROM gone JOIN outcome ON outcome.job = gone.id)
    THEN
        PERFORM keep('a job is deleted after everything about it');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER job_stays AFTER DELETE ON job REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION job_stays();

CREATE FUNCTION of_a_held_job_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM gone JOIN job ON job.id = gone.job JOIN sweep_cell ON sweep_cell.cell = job.cell
        WHERE sweep_cell.replicates >= job.replicate)
    THEN
        PERFORM keep('an ' || TG_TABLE_NAME || ' of a job that a sweep holds is never deleted');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER outcome_stays AFTER DELETE ON outcome REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION of_a_held_job_stays();
CREATE TRIGGER attempt_stays AFTER DELETE ON attempt REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION of_a_held_job_stays();

-- Whether it is gone for good: lists leave it out until it says hello again.
ALTER TABLE worker ADD COLUMN forgotten boolean NOT NULL DEFAULT false;
