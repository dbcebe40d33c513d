-- What trainings measure beside the four numbers of an outcome: any more of
-- them need no further column.

ALTER TABLE outcome ADD COLUMN metrics text;          -- JSON object of numbers; NULL: none

ALTER TABLE observation ADD COLUMN distance double precision;
ALTER TABLE observation ADD COLUMN loss_scale double precision;
ALTER TABLE observation ADD COLUMN skipped_steps bigint;
