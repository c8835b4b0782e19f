BEGIN IMMEDIATE;

CREATE TABLE admin_message (
    id BLOB PRIMARY KEY,
    source BLOB NOT NULL,
    level TEXT NOT NULL,
    category TEXT NOT NULL,
    message TEXT NOT NULL,
    created INTEGER NOT NULL,
    count INTEGER NOT NULL,
    status TEXT NOT NULL,
    UNIQUE (source, message)
) STRICT;
CREATE INDEX admin_message_created ON admin_message (created);

PRAGMA user_version = 2;

COMMIT;
