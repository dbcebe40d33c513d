-- Metrics of an epoch that have no column.
ALTER TABLE observation ADD COLUMN metrics TEXT;  -- JSON object of numbers; NULL: none
