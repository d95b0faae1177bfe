-- Sealed rows by session and seq, and beside them the heads, by which every read and write of a session goes.

CREATE TABLE {table} (
    session bytea NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (session, seq)
);
-- Ciphertext does not compress, and ANALYZE is to copy none of it to where no purge reaches.
ALTER TABLE {table} ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN body SET STATISTICS 0;

CREATE TABLE {sessions} (
    session bytea PRIMARY KEY,
    head bytea NOT NULL,
    next bigint NOT NULL,
    due bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);  -- room to move a head within its page
ALTER TABLE {sessions} ALTER COLUMN head SET STORAGE EXTERNAL, ALTER COLUMN head SET STATISTICS 0;
CREATE INDEX {due} ON {sessions} (due) WHERE due > 0;

CREATE TABLE IF NOT EXISTS {stamp} (
    one smallint PRIMARY KEY CHECK (one = 1),
    deployment bytea NOT NULL,
    counter bigint NOT NULL
);
