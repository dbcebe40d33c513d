-- Trainings that cost alike, found without a look at all others: what one took
-- tells what the next will take.

ALTER TABLE cell ADD COLUMN workload BLOB CHECK (length(workload) = 16);  -- NULL: not known yet

CREATE INDEX cell_by_workload ON cell (workload);

CREATE INDEX job_succeeded ON job (cell) WHERE state = 'succeeded';
