BEGIN IMMEDIATE;

CREATE TABLE otp_seed (
    provider TEXT NOT NULL,
    username TEXT NOT NULL,
    sealed BLOB NOT NULL,
    verified INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    locked_at INTEGER,
    -- New at every write, so that whoever read the row before does not overwrite what came in between.
    revision BLOB NOT NULL,
    PRIMARY KEY (provider, username)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;

COMMIT;
