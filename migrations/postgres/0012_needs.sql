-- What jobs need of the device and the host on which they run, and on which
-- device of its worker a job runs.

-- JSON; NULL where nothing but the program is needed, which has a column.
ALTER TABLE cell ADD COLUMN needs text;

-- Where its newest attempt was granted to run; NULL before there was a choice.
ALTER TABLE job ADD COLUMN device text;

-- Estimates ask for the newest cells of a workload; with the workload alone, the
-- server may go through all cells instead.
DROP INDEX cell_by_workload;
CREATE INDEX cell_by_workload ON cell (workload, id);
