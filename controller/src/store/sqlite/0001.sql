BEGIN IMMEDIATE;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE object (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, name)
) STRICT;

CREATE TABLE secret (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    field TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (kind, id, field),
    FOREIGN KEY (kind, id) REFERENCES object (kind, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE key (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    device BLOB NOT NULL,
    username TEXT NOT NULL,
    provider TEXT NOT NULL,
    session BLOB,
    site BLOB,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    -- The greatest integer while no rule covers the token, so that one index finds what a new rule changes.
    revoked_at INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    hostname TEXT
) STRICT;
CREATE INDEX token_name ON token (provider, username, revoked_at);
CREATE INDEX token_expires ON token (expires);

CREATE TABLE device (
    provider TEXT NOT NULL,
    username TEXT NOT NULL,
    device BLOB NOT NULL,
    client INTEGER NOT NULL,
    admin INTEGER NOT NULL,
    hostname TEXT,
    on_boarded INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (provider, username, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE lockout (
    provider TEXT NOT NULL,
    username TEXT NOT NULL,
    failures INTEGER NOT NULL,
    locked_at INTEGER,
    PRIMARY KEY (provider, username)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocation (
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    ending TEXT NOT NULL,
    kinds TEXT NOT NULL,
    site BLOB,
    token BLOB,
    effective INTEGER NOT NULL,
    reason TEXT NOT NULL,
    forget_after INTEGER NOT NULL,
    PRIMARY KEY (seq, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolment (
    appliance BLOB PRIMARY KEY,
    secret_sha256 BLOB,
    expires INTEGER,
    certificate_sha256 BLOB,
    address TEXT,
    CHECK ((secret_sha256 IS NULL) = (expires IS NULL)),
    CHECK ((certificate_sha256 IS NULL) = (address IS NULL)),
    CHECK ((secret_sha256 IS NULL) <> (certificate_sha256 IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    writer BLOB NOT NULL,
    position INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    record TEXT NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (writer, position)
) STRICT;
CREATE INDEX audit_event_type ON audit (event_type, number);

PRAGMA user_version = 1;

COMMIT;
