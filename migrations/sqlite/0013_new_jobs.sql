-- A submit brings a hundred thousand jobs.

-- Open jobs are found through the sweeps that count them: an index of them
-- would get an entry for each new job.
DROP INDEX job_open;
