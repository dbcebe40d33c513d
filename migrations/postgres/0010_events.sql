-- What happened, one event after the other, for those who watch; and facts where
-- there were sentences: what a sweep is for, why it or a worker rests, when an
-- attempt was lost.

-- Numbers count up without a gap, and the oldest events go. An event names what
-- it is about as readers do, so that nothing has to be looked up.
CREATE TABLE event (
    seq     bigint PRIMARY KEY CHECK (seq >= 1),
    at      bigint NOT NULL,
    sweep   bytea CHECK (length(sweep) = 32),
    job     bytea CHECK (length(job) = 32),
    attempt bigint CHECK (attempt BETWEEN 1 AND 4294967295),
    worker  text,
    what    text NOT NULL                      -- JSON: kind and body
);

CREATE TRIGGER event_never_changes BEFORE UPDATE ON event FOR EACH ROW
EXECUTE FUNCTION refuse('an event never changes');

ALTER TABLE sweep ADD COLUMN kind text NOT NULL DEFAULT 'training'
    CHECK (kind IN ('training', 'probe'));
-- Until now the least priority said so.
UPDATE sweep SET kind = 'probe', priority = 0 WHERE priority = -2147483648;

-- JSON: kind and what belongs to it. A cause that was only noted in words keeps
-- them.
UPDATE sweep SET reason = CASE reason
    WHEN 'paused by an operator' THEN '{"kind":"operator"}'
    ELSE json_build_object('kind', 'noted', 'text', reason)::text END
WHERE paused;
UPDATE worker SET reason = CASE
    WHEN state <> 'cordoned' THEN ''
    WHEN reason = '' OR reason = 'cordoned by an operator' THEN '{"kind":"operator"}'
    ELSE json_build_object('kind', 'noted', 'text', reason)::text END;
ALTER TABLE sweep RENAME COLUMN reason TO cause;
ALTER TABLE worker RENAME COLUMN reason TO cause;

-- When its lease ended without a word of it, as long as it has not come back.
ALTER TABLE attempt ADD COLUMN lost_at bigint;
-- Until now that was inferred when it was read.
UPDATE attempt SET lost_at = coalesce(
    (SELECT later.granted_at FROM attempt AS later
     WHERE later.job = attempt.job AND later.attempt = attempt.attempt + 1),
    (SELECT job.ended_at FROM job WHERE job.id = attempt.job),
    granted_at)
WHERE ended IS NULL AND NOT EXISTS (
    SELECT 1 FROM job
    WHERE job.id = attempt.job AND job.attempt = attempt.attempt AND job.deadline IS NOT NULL);
