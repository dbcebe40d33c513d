-- What trainings measure beside the four numbers of an outcome: any more of
-- them need no further column.

ALTER TABLE outcome ADD COLUMN metrics TEXT;          -- JSON object of numbers; NULL: none

ALTER TABLE observation ADD COLUMN distance REAL;
ALTER TABLE observation ADD COLUMN loss_scale REAL;
ALTER TABLE observation ADD COLUMN skipped_steps INTEGER;
