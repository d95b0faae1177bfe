-- Wrapped keys, and the map from a real id (as a keyed hash) to a random handle. Ciphertext does not compress, and a
-- long name or title lies outside its row, which then stays short. What has statistics is copied where no purge reaches.

CREATE TABLE {stamp} (
    one smallint PRIMARY KEY CHECK (one = 1),
    deployment bytea NOT NULL,
    counter bigint NOT NULL
);

CREATE TABLE {epochs} (
    epoch bigint PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('coming', 'open', 'sealed', 'destroyed')),
    since bigint NOT NULL
);

CREATE TABLE {tenants} (
    tenant bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handle bytea NOT NULL UNIQUE,
    name text NOT NULL UNIQUE,
    route bigint NOT NULL DEFAULT 0,
    place text NOT NULL DEFAULT 'default',
    moving_to text
);

CREATE TABLE {tenant_keys} (
    tenant bigint NOT NULL REFERENCES {tenants},
    kind text NOT NULL,
    epoch bigint NOT NULL REFERENCES {epochs},
    wrapped bytea NOT NULL,
    PRIMARY KEY (tenant, kind, epoch)
);
ALTER TABLE {tenant_keys} ALTER COLUMN wrapped SET STATISTICS 0;

CREATE TABLE {users} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant bigint NOT NULL REFERENCES {tenants},
    handle bytea NOT NULL UNIQUE,
    tag bytea NOT NULL UNIQUE,
    epoch bigint NOT NULL,
    generation bigint NOT NULL,
    wrapped bytea NOT NULL,
    name bytea NOT NULL
);
ALTER TABLE {users}
    ALTER COLUMN handle SET STATISTICS 0,
    ALTER COLUMN tag SET STATISTICS 0,
    ALTER COLUMN wrapped SET STATISTICS 0,
    ALTER COLUMN name SET STATISTICS 0,
    ALTER COLUMN name SET STORAGE EXTERNAL;
CREATE INDEX ON {users} (epoch, number);  -- what a rotation has still to do

CREATE TABLE {sessions} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner bigint NOT NULL REFERENCES {users},
    handle bytea NOT NULL UNIQUE,
    tag bytea NOT NULL UNIQUE,
    generation bigint NOT NULL,
    floor bigint NOT NULL DEFAULT 0,
    floor_ends bigint NOT NULL DEFAULT 0,
    wrapped bytea NOT NULL,
    title bytea NOT NULL
) WITH (fillfactor = 90);  -- room to raise a floor within its page
ALTER TABLE {sessions}
    ALTER COLUMN handle SET STATISTICS 0,
    ALTER COLUMN tag SET STATISTICS 0,
    ALTER COLUMN wrapped SET STATISTICS 0,
    ALTER COLUMN title SET STATISTICS 0,
    ALTER COLUMN title SET STORAGE EXTERNAL;
CREATE INDEX ON {sessions} (owner, number);

CREATE TABLE {guests} (
    session bytea NOT NULL,
    guest bigint NOT NULL REFERENCES {users},
    generation bigint NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (session, guest)
);
ALTER TABLE {guests} ALTER COLUMN session SET STATISTICS 0, ALTER COLUMN wrapped SET STATISTICS 0;
CREATE INDEX ON {guests} (guest);
