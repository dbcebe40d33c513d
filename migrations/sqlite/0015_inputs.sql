-- Files of programs that travel with sweeps to the workers. Each is kept once,
-- by its digest, in pieces that are read one by one.

CREATE TABLE input (
    id      INTEGER PRIMARY KEY,
    digest  BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    bytes   INTEGER NOT NULL CHECK (bytes BETWEEN 0 AND 67108864),
    kept_at INTEGER NOT NULL
) STRICT;

CREATE TABLE input_piece (
    input   INTEGER NOT NULL REFERENCES input (id),
    place   INTEGER NOT NULL CHECK (place BETWEEN 1 AND 64),
    content BLOB    NOT NULL CHECK (length(content) BETWEEN 1 AND 1048576),
    PRIMARY KEY (input, place)
) STRICT;

CREATE TABLE sweep_input (
    sweep INTEGER NOT NULL REFERENCES sweep (id),
    input INTEGER NOT NULL REFERENCES input (id),
    PRIMARY KEY (sweep, input)
) STRICT, WITHOUT ROWID;

CREATE INDEX sweep_input_by_input ON sweep_input (input);

CREATE TRIGGER input_never_changes BEFORE UPDATE ON input
BEGIN
    SELECT RAISE(ABORT, 'a file of a program never changes');
END;

CREATE TRIGGER input_piece_never_changes BEFORE UPDATE ON input_piece
BEGIN
    SELECT RAISE(ABORT, 'a piece of a file never changes');
END;

CREATE TRIGGER input_piece_follows BEFORE INSERT ON input_piece
WHEN NEW.place > 1 AND NOT EXISTS (
    SELECT 1 FROM input_piece
    WHERE input = NEW.input AND place = NEW.place - 1 AND length(content) = 1048576)
BEGIN
    SELECT RAISE(ABORT, 'a piece of a file follows a whole one');
END;

CREATE TRIGGER input_piece_stays BEFORE DELETE ON input_piece
WHEN EXISTS (SELECT 1 FROM sweep_input WHERE input = OLD.input)
BEGIN
    SELECT RAISE(ABORT, 'a file that travels with a sweep is never deleted');
END;

CREATE TRIGGER sweep_input_never_changes BEFORE UPDATE ON sweep_input
BEGIN
    SELECT RAISE(ABORT, 'the files of a sweep never change');
END;

CREATE TRIGGER sweep_keeps_its_inputs BEFORE DELETE ON sweep_input
WHEN coalesce((SELECT label ->> 'deleting' FROM sweep WHERE id = OLD.sweep), 0) <> 1
BEGIN
    SELECT RAISE(ABORT, 'only a sweep that is being deleted loses files');
END;
