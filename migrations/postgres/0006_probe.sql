-- Trainings that cost alike, found without a look at all others: what one took
-- tells what the next will take.

ALTER TABLE cell ADD COLUMN workload bytea CHECK (octet_length(workload) = 16);

CREATE INDEX cell_by_workload ON cell (workload);
-- (No index of the succeeded jobs of a cell: it has few others.)
