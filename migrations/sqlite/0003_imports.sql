-- Numbers from elsewhere: published, or measured by other means. They lie
-- beside the jobs, under the name of a sweep and a cell, and count in its table.

CREATE TABLE import (
    id          INTEGER PRIMARY KEY,
    sweep       TEXT    NOT NULL CHECK (length(sweep) <= 256),
    cell        INTEGER NOT NULL REFERENCES cell (id),
    source      TEXT    NOT NULL,              -- who says so
    place       INTEGER NOT NULL CHECK (place BETWEEN 1 AND 4294967295),
    test_error  REAL    NOT NULL,
    seconds     REAL    CHECK (seconds >= 0),
    runs        INTEGER NOT NULL CHECK (runs BETWEEN 1 AND 1000),
    replicate   INTEGER CHECK (replicate BETWEEN 1 AND 4294967295),
    seed        INTEGER CHECK (seed BETWEEN 0 AND 9007199254740991),
    file        TEXT    NOT NULL,
    line        INTEGER NOT NULL CHECK (line >= 0),
    imported_at INTEGER NOT NULL,
    UNIQUE (sweep, cell, source, place)
) STRICT;

CREATE TRIGGER import_never_changes BEFORE UPDATE ON import
BEGIN
    SELECT RAISE(ABORT, 'an imported number never changes; it can be replaced');
END;
