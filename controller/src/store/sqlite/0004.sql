BEGIN IMMEDIATE;

CREATE TABLE blacklist (
    provider TEXT NOT NULL,
    username TEXT NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (provider, username)
) STRICT;

PRAGMA user_version = 4;

COMMIT;
