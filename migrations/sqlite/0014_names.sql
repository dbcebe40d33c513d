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
