-- A submit brings a hundred thousand jobs.

-- Open jobs are found through the sweeps that count them: an index of them
-- would get an entry for each new job.
DROP INDEX job_open;

-- What is asked of new jobs is asked of all rows of a statement together: a
-- trigger for each row keeps COPY from writing many at once.
DROP TRIGGER job_begins_queued ON job;

CREATE OR REPLACE FUNCTION job_has_a_cell() RETURNS trigger LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT cell FROM fresh) AS named
               WHERE NOT EXISTS (SELECT 1 FROM cell WHERE id = named.cell))
    THEN
        PERFORM no_such('cell');
    END IF;
    IF EXISTS (SELECT 1 FROM fresh WHERE state <> 'queued' OR attempt <> 0)
    THEN
        RAISE EXCEPTION 'a new job is queued and was never granted'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME,
                CONSTRAINT = 'job_begins_queued';
    END IF;
    RETURN NULL;
END $$;
