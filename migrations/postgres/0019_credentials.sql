-- Tokens and the certificates of workers: enough to know them again, and nothing
-- with which somebody could show one.

CREATE TABLE credential (
    id         bigint  PRIMARY KEY CHECK (id >= 0),
    role       text    NOT NULL CHECK (role IN ('viewer', 'submitter', 'admin', 'worker')),
    holder     text    NOT NULL,                       -- a person or a worker; of a worker's
                                                       -- token perhaps empty
    secret     bytea   CHECK (octet_length(secret) = 32), -- digest of a token's secret; none: the
                                                       -- certificates of a worker
    uses_left  bigint  CHECK (uses_left BETWEEN 0 AND 4294967295),
    created_at bigint  NOT NULL,
    created_by text    NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    CHECK (secret IS NOT NULL OR (role = 'worker' AND holder <> '' AND uses_left IS NULL))
);

CREATE TRIGGER credential_stays_what_it_is BEFORE UPDATE ON credential FOR EACH ROW
WHEN (NEW.role <> OLD.role OR NEW.holder <> OLD.holder OR NEW.secret IS DISTINCT FROM OLD.secret
      OR (OLD.secret IS NOT NULL AND NEW.created_at <> OLD.created_at))
EXECUTE FUNCTION refuse('a credential stays what it is');

CREATE TRIGGER credential_stays_revoked BEFORE UPDATE ON credential FOR EACH ROW
WHEN (OLD.revoked_at IS NOT NULL
      AND (NEW.revoked_at IS NULL
           OR (OLD.secret IS NOT NULL AND NEW.revoked_at <> OLD.revoked_at)))
EXECUTE FUNCTION refuse('what was revoked stays revoked');

CREATE TRIGGER credential_is_used_up BEFORE UPDATE ON credential FOR EACH ROW
WHEN (NEW.uses_left IS DISTINCT FROM OLD.uses_left
      AND (NEW.uses_left IS NULL OR OLD.uses_left IS NULL OR NEW.uses_left > OLD.uses_left))
EXECUTE FUNCTION refuse('a token never gets more uses');

CREATE TRIGGER credential_is_never_deleted BEFORE DELETE ON credential FOR EACH ROW
EXECUTE FUNCTION refuse('a credential is revoked, not deleted');
