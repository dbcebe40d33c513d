-- Turns a store with two submitted sweeps into one that has seen years: clones
-- of the newer sweep, and an end for every job but those of the last clone.
--
-- Before: the temporary table `clone` holds a number from 1 on per clone, and
-- `epoch` the epochs of a job; worker 1 has said hello. The triggers of the
-- schema watch every step, so what is made here could have happened.

CREATE TEMP TABLE base AS
SELECT (SELECT max(id) FROM sweep) AS sweep, (SELECT max(id) FROM cell) AS cell,
       (SELECT max(id) FROM job) AS job, sweep.replicates,
       (SELECT count(*) FROM sweep_cell WHERE sweep = sweep.id) AS cells,
       sweep.submitted_at AS at
FROM sweep ORDER BY id DESC LIMIT 1;

INSERT INTO sweep (id, digest, name, title, replicates, priority, sources, definition, submitted_at)
SELECT base.sweep + n, randomblob(32), name || '-' || n, title, sweep.replicates, priority, sources,
       definition, submitted_at + n
FROM clone CROSS JOIN base CROSS JOIN sweep ON sweep.id = base.sweep;

INSERT INTO sweep_counts (sweep, cells, queued)
SELECT base.sweep + n, cells, cells * replicates FROM clone CROSS JOIN base;

INSERT INTO cell (id, digest, spec, program, workload)
SELECT base.cell + (n - 1) * cells + position + 1, randomblob(32), spec, program, workload
FROM clone CROSS JOIN base
CROSS JOIN sweep_cell ON sweep_cell.sweep = base.sweep
CROSS JOIN cell ON cell.id = sweep_cell.cell;

INSERT INTO sweep_cell (sweep, position, cell, axes, replicates)
SELECT base.sweep + n, position, base.cell + (n - 1) * cells + position + 1, axes, base.replicates
FROM clone CROSS JOIN base CROSS JOIN sweep_cell ON sweep_cell.sweep = base.sweep;

INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
SELECT base.job + ((n - 1) * cells + position) * base.replicates + replicate, randomblob(32),
       base.cell + (n - 1) * cells + position + 1, replicate, seed, 'queued',
       base.at + n, base.at + n
FROM clone CROSS JOIN base
CROSS JOIN sweep_cell ON sweep_cell.sweep = base.sweep
CROSS JOIN job ON job.cell = sweep_cell.cell;

INSERT INTO provenance (id, device, driver, libtorch, trainer, threads, determinism)
VALUES (1, 'cpu: a model', '', '2.13.0', '1.0.0', 1, 'strict');

CREATE TEMP TABLE done AS
SELECT job.id, job.id % 100 = 7 AS fails, worker.session
FROM job CROSS JOIN worker ON worker.id = 1
WHERE job.cell NOT IN (
    SELECT cell FROM sweep_cell WHERE sweep = (SELECT max(id) FROM sweep));

INSERT INTO attempt (job, attempt, worker, session, granted_at)
SELECT done.id, 1, 1, done.session, granted_at FROM done CROSS JOIN job ON job.id = done.id;

UPDATE job SET state = 'leased', not_before = NULL, deadline = granted_at + 60000, attempt = 1,
    worker = 1, session = (SELECT session FROM worker WHERE id = 1), grants = 1, closed = 0
WHERE id IN (SELECT id FROM done);

-- The bits: big-endian doubles between 1 and 2, whose first byte is 0x3f.
INSERT INTO outcome (job, attempt, bits, provenance, recorded_at)
SELECT id, 1,
       CAST(x'3ff8' || randomblob(6) || x'3ff4000000000000' || x'3ff8000000000000'
           || x'3ffc000000000000' AS BLOB), 1, 0
FROM done WHERE NOT fails;

UPDATE attempt SET ended_at = granted_at + 1000, ended = iif(fails, 'diverged', 'measured'),
    message = iif(fails, 'the loss is not a number', ''), provenance = 1
FROM done WHERE attempt.job = done.id;

UPDATE job SET state = iif(id % 100 = 7, 'failed', 'succeeded'),
    fault = iif(id % 100 = 7, 'diverged', NULL), faulted = iif(id % 100 = 7, 1, NULL),
    deadline = NULL, closed = 1, ended_at = granted_at + 1000
WHERE id IN (SELECT id FROM done);

UPDATE sweep_counts SET queued = counted.queued, succeeded = counted.succeeded,
    diverged = counted.diverged, ended_at = counted.ended_at
FROM (SELECT sweep_job.sweep, count(*) FILTER (WHERE state = 'queued') AS queued,
             count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
             count(*) FILTER (WHERE state = 'failed') AS diverged, max(ended_at) AS ended_at
      FROM sweep_job JOIN job ON job.id = sweep_job.job GROUP BY sweep_job.sweep) AS counted
WHERE counted.sweep = sweep_counts.sweep;

INSERT INTO observation (job, attempt, epoch, step, train_loss, train_error, test_loss, test_error,
                         lr, seconds, images_per_second)
SELECT done.id, 1, epoch.n, epoch.n * 391, 2.0 / epoch.n, 60.0 / epoch.n, 2.5 / epoch.n,
       70.0 / epoch.n, 0.1, 12.5, 4000.0
FROM done CROSS JOIN epoch;

DROP TABLE temp.done;
DROP TABLE temp.base;
