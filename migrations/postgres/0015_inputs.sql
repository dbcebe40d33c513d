-- Files of programs that travel with sweeps to the workers. Each is kept once,
-- by its digest, in pieces that are read one by one.

CREATE TABLE input (
    id      bigint PRIMARY KEY,
    digest  bytea  NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    bytes   bigint NOT NULL CHECK (bytes BETWEEN 0 AND 67108864),
    kept_at bigint NOT NULL
);

CREATE TABLE input_piece (
    input   bigint NOT NULL REFERENCES input (id),
    place   bigint NOT NULL CHECK (place BETWEEN 1 AND 64),
    content bytea  NOT NULL CHECK (octet_length(content) BETWEEN 1 AND 1048576),
    PRIMARY KEY (input, place)
);

CREATE TABLE sweep_input (
    sweep bigint NOT NULL REFERENCES sweep (id),
    input bigint NOT NULL REFERENCES input (id),
    PRIMARY KEY (sweep, input)
);

CREATE INDEX sweep_input_by_input ON sweep_input (input);

CREATE TRIGGER input_never_changes BEFORE UPDATE ON input FOR EACH ROW
EXECUTE FUNCTION refuse('a file of a program never changes');
CREATE TRIGGER input_piece_never_changes BEFORE UPDATE ON input_piece FOR EACH ROW
EXECUTE FUNCTION refuse('a piece of a file never changes');
CREATE TRIGGER sweep_input_never_changes BEFORE UPDATE ON sweep_input FOR EACH ROW
EXECUTE FUNCTION refuse('the files of a sweep never change');

CREATE FUNCTION input_piece_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh
        WHERE place > 1 AND NOT EXISTS (
            SELECT 1 FROM input_piece AS before
            WHERE before.input = fresh.input AND before.place = fresh.place - 1
              AND octet_length(before.content) = 1048576))
    THEN
        PERFORM keep('a piece of a file follows a whole one');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER input_piece_follows AFTER INSERT ON input_piece REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION input_piece_follows();

CREATE FUNCTION input_piece_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM gone JOIN sweep_input ON sweep_input.input = gone.input) THEN
        PERFORM keep('a file that travels with a sweep is never deleted');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER input_piece_stays AFTER DELETE ON input_piece REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION input_piece_stays();

CREATE FUNCTION sweep_keeps_its_inputs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT sweep FROM gone) AS named JOIN sweep ON sweep.id = named.sweep
        WHERE (sweep.label::json ->> 'deleting') IS DISTINCT FROM 'true')
    THEN
        PERFORM keep('only a sweep that is being deleted loses files');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sweep_keeps_its_inputs AFTER DELETE ON sweep_input REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION sweep_keeps_its_inputs();
