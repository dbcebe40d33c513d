-- What a training ended with: the BLAKE3 digest of its weights as a safetensors
-- file, so that a replay can tell whether it came to the same.

ALTER TABLE outcome ADD COLUMN weights bytea CHECK (octet_length(weights) = 32);
