-- Metrics of an epoch that have no column.
ALTER TABLE observation ADD COLUMN metrics text;  -- JSON object of numbers; NULL: none

-- A program need not measure one: its own metric keeps its name.
ALTER TABLE outcome ALTER COLUMN test_error DROP NOT NULL;
