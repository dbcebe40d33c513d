-- How far this database is a copy of another one, as long as it is not a whole
-- one; no row otherwise.
CREATE TABLE copying (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    state text    NOT NULL                     -- JSON
);
