-- Wrapped keys, and the map from a real id (as a keyed hash) to a random handle.

-- name: schema
CREATE TABLE IF NOT EXISTS securemem_stamp (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    deployment BLOB NOT NULL,
    counter INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS epochs (
    epoch INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('coming', 'open', 'sealed', 'destroyed')),
    since INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS tenants (
    tenant INTEGER PRIMARY KEY,
    handle BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    route INTEGER NOT NULL DEFAULT 0,
    place TEXT NOT NULL DEFAULT 'default',
    moving_to TEXT
);
CREATE TABLE IF NOT EXISTS tenant_keys (
    tenant INTEGER NOT NULL REFERENCES tenants,
    kind TEXT NOT NULL,
    epoch INTEGER NOT NULL REFERENCES epochs,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (tenant, kind, epoch)
);
CREATE TABLE IF NOT EXISTS users (
    user INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL REFERENCES tenants,
    handle BLOB NOT NULL UNIQUE,
    tag BLOB NOT NULL UNIQUE,
    epoch INTEGER NOT NULL REFERENCES epochs,
    generation INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    name BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions (
    session INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES users,
    handle BLOB NOT NULL UNIQUE,
    tag BLOB NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0,
    floor_ends INTEGER NOT NULL DEFAULT 0,
    wrapped BLOB NOT NULL,
    title BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user);
CREATE TABLE IF NOT EXISTS guests (
    session BLOB NOT NULL,
    user INTEGER NOT NULL REFERENCES users,
    generation INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (session, user)
);
CREATE INDEX IF NOT EXISTS guests_user ON guests (user);

-- name: to_version_2
ALTER TABLE sessions ADD COLUMN floor_ends INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN route INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN place TEXT NOT NULL DEFAULT 'default';
ALTER TABLE tenants ADD COLUMN moving_to TEXT;

-- name: stamp
SELECT deployment, counter FROM securemem_stamp;

-- name: set_stamp
INSERT INTO securemem_stamp (one, deployment, counter) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET counter = max(counter, excluded.counter);

-- name: epochs
SELECT epoch, state, since FROM epochs ORDER BY epoch;

-- name: open_epoch
SELECT max(epoch) FROM epochs WHERE state = 'open';

-- name: add_epoch
INSERT INTO epochs (epoch, state, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: set_epoch
UPDATE epochs SET state = ?, since = ? WHERE epoch = ?;

-- name: tenants
SELECT tenant, handle, name FROM tenants;

-- name: tenant
SELECT tenant, handle FROM tenants WHERE name = ?;

-- name: is_any_apart
SELECT EXISTS (SELECT 1 FROM tenants WHERE substr(name, 1, length(?1)) <> ?1);

-- name: add_tenant
INSERT INTO tenants (handle, name) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: rename_tenant
UPDATE tenants SET name = ? WHERE name = ?;

-- name: routes
SELECT name, route, place, moving_to FROM tenants ORDER BY name;

-- name: route
SELECT route, place, moving_to FROM tenants WHERE name = ?;

-- name: set_route
UPDATE tenants SET route = ?, place = ?, moving_to = ? WHERE name = ? AND route = ?;

-- name: tenant_keys
SELECT kind, epoch, wrapped FROM tenant_keys WHERE tenant = ? ORDER BY epoch;

-- name: add_tenant_key
INSERT INTO tenant_keys (tenant, kind, epoch, wrapped) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: delete_tenant_keys
DELETE FROM tenant_keys WHERE epoch = ?;

-- name: find
SELECT (SELECT max(epoch) FROM epochs WHERE state = 'open'),
       u.user, u.handle, u.epoch, u.generation, u.wrapped, u.name,
       s.handle, s.generation, s.floor, s.floor_ends, s.wrapped, s.title
FROM (SELECT 1) one
LEFT JOIN users u ON u.tag IN ({tags})
LEFT JOIN sessions s ON s.user = u.user AND s.tag IN ({tags});

-- name: add_user
INSERT INTO users (tenant, handle, tag, epoch, generation, wrapped, name) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING user;

-- name: user_by_tag
SELECT 1 FROM users WHERE tag IN ({tags});

-- name: user_number
SELECT user FROM users WHERE handle = ? AND generation = ?;

-- name: user_row
SELECT user, handle, epoch, generation, wrapped, name FROM users WHERE handle = ?;

-- name: renew_user
UPDATE users SET generation = generation + 1, epoch = ?, wrapped = ?, name = ?, tag = ? WHERE user = ?;

-- name: renew_session
UPDATE sessions SET tag = ?2, wrapped = ?3 WHERE handle = ?1;

-- name: renew_visit
UPDATE guests SET wrapped = ? WHERE session = ? AND user = ?;

-- name: delete_visit
DELETE FROM guests WHERE session = ? AND user = ?;

-- name: session_by_tag
SELECT 1 FROM sessions WHERE tag IN ({tags});

-- name: add_session
INSERT INTO sessions (user, handle, tag, generation, wrapped, title) VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_floor
UPDATE sessions SET floor = 0, floor_ends = 0 WHERE handle = ?;

-- name: guests
SELECT u.handle, u.epoch, u.generation, u.wrapped, u.name, g.generation, g.wrapped
FROM guests g JOIN users u ON u.user = g.user WHERE g.session = ?;

-- name: add_guest
INSERT INTO guests (session, user, generation, wrapped) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: sessions_of_user
SELECT handle FROM sessions WHERE user = ? ORDER BY session;

-- name: guest_sessions_of_user
SELECT session FROM guests WHERE user = ? ORDER BY session;

-- name: session_owner
SELECT u.handle, s.generation, s.floor, t.handle
FROM sessions s JOIN users u ON u.user = s.user JOIN tenants t ON t.tenant = u.tenant WHERE s.handle = ?;

-- name: list
SELECT s.session, u.user, u.handle, u.epoch, u.generation, u.wrapped, u.name,
       s.handle, s.generation, s.floor, s.floor_ends, s.wrapped, s.title
FROM sessions s JOIN users u ON u.user = s.user
WHERE u.tenant = ? AND s.session > ? AND (? IS NULL OR u.handle = ?) ORDER BY s.session LIMIT ?;

-- name: delete_user_guests
DELETE FROM guests WHERE user = ?;

-- name: delete_session_guests
DELETE FROM guests WHERE session = ?;

-- name: delete_user_sessions
DELETE FROM sessions WHERE user = ?;

-- name: delete_user
DELETE FROM users WHERE user = ?;

-- name: delete_session
DELETE FROM sessions WHERE handle = ?;

-- name: raise_floor
UPDATE sessions SET floor = ?2, floor_ends = ?3 WHERE handle = ?1 AND floor < ?2;

-- name: users_under
SELECT user, tenant, handle, epoch, generation, wrapped, name FROM users WHERE epoch < ? ORDER BY user LIMIT ?;

-- name: sessions_to_retag
SELECT handle, generation, wrapped, title FROM sessions WHERE user = ? ORDER BY session;

-- name: rewrap_user
UPDATE users SET epoch = ?, wrapped = ?, tag = ? WHERE user = ? AND wrapped = ?;

-- name: retag_session
UPDATE sessions SET tag = ? WHERE handle = ?;

-- name: count_by_epoch
SELECT epoch, count(*) FROM users GROUP BY epoch;

-- name: count
SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions);
