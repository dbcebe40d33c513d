-- Tokens and the certificates of workers: enough to know them again, and nothing
-- with which somebody could show one.

CREATE TABLE credential (
    id         INTEGER PRIMARY KEY CHECK (id >= 0),
    role       TEXT    NOT NULL CHECK (role IN ('viewer', 'submitter', 'admin', 'worker')),
    holder     TEXT    NOT NULL,                       -- a person or a worker; of a worker's
                                                       -- token perhaps empty
    secret     BLOB    CHECK (length(secret) = 32),    -- digest of a token's secret; none: the
                                                       -- certificates of a worker
    uses_left  INTEGER CHECK (uses_left BETWEEN 0 AND 4294967295),
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    CHECK (secret IS NOT NULL OR (role = 'worker' AND holder <> '' AND uses_left IS NULL))
) STRICT;

CREATE TRIGGER credential_stays_what_it_is BEFORE UPDATE ON credential
WHEN NEW.role <> OLD.role OR NEW.holder <> OLD.holder OR NEW.secret IS NOT OLD.secret
  OR (OLD.secret IS NOT NULL AND NEW.created_at <> OLD.created_at)
BEGIN
    SELECT RAISE(ABORT, 'a credential stays what it is');
END;

CREATE TRIGGER credential_stays_revoked BEFORE UPDATE ON credential
WHEN OLD.revoked_at IS NOT NULL
 AND (NEW.revoked_at IS NULL OR (OLD.secret IS NOT NULL AND NEW.revoked_at <> OLD.revoked_at))
BEGIN
    SELECT RAISE(ABORT, 'what was revoked stays revoked');
END;

CREATE TRIGGER credential_is_used_up BEFORE UPDATE ON credential
WHEN NEW.uses_left IS NOT OLD.uses_left
 AND (NEW.uses_left IS NULL OR OLD.uses_left IS NULL OR NEW.uses_left > OLD.uses_left)
BEGIN
    SELECT RAISE(ABORT, 'a token never gets more uses');
END;

CREATE TRIGGER credential_is_never_deleted BEFORE DELETE ON credential
BEGIN
    SELECT RAISE(ABORT, 'a credential is revoked, not deleted');
END;
