-- How far this file is a copy of another database, as long as it is not a whole
-- one; no row otherwise.
CREATE TABLE copying (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    state TEXT    NOT NULL                     -- JSON
) STRICT;
