-- Every insertion shares the open epoch's row with others until it commits, so that the epoch is not sealed meanwhile,
-- and its user's row likewise, so that the user is not shredded: a lock that was waited for is judged by the row as it is
-- then, and what a statement reads besides it is as of its beginning. Rows of one table are locked in the order of handle
-- or tag.

-- name: stamp
SELECT deployment, counter FROM {stamp};

-- name: set_stamp
INSERT INTO {stamp} AS stood (one, deployment, counter) VALUES (1, $1, $2)
ON CONFLICT (one) DO UPDATE SET counter = greatest(stood.counter, excluded.counter);

-- name: counts
SELECT (SELECT count(*) FROM {users}), (SELECT count(*) FROM {sessions});

-- name: find
-- Of one tag each, for which the server keeps its plan; of arrays it makes a new one each time.
SELECT (SELECT max(epoch) FROM {epochs} WHERE state = 'open'),
       u.number, u.handle, u.epoch, u.generation, u.wrapped, u.name,
       s.handle, s.generation, s.floor, s.floor_ends, s.wrapped, s.title
FROM (SELECT 1) one
LEFT JOIN {users} u ON u.tag = $1
LEFT JOIN {sessions} s ON s.owner = u.number AND s.tag = $2;

-- name: finds
-- Each by its tag: of a user's sessions there can be many.
WITH found AS MATERIALIZED (
    SELECT asked.place, u.* FROM unnest($1::integer[], $2::bytea[]) AS asked (place, tag) JOIN {users} u USING (tag)
), held AS MATERIALIZED (
    SELECT asked.place, s.* FROM unnest($3::integer[], $4::bytea[]) AS asked (place, tag) JOIN {sessions} s USING (tag)
)
SELECT f.place, (SELECT max(epoch) FROM {epochs} WHERE state = 'open'),
       f.number, f.handle, f.epoch, f.generation, f.wrapped, f.name,
       s.handle, s.generation, s.floor, s.floor_ends, s.wrapped, s.title
FROM (SELECT 1) one LEFT JOIN found f ON true LEFT JOIN held s ON s.place = f.place AND s.owner = f.number;

-- name: mint
WITH asked AS (
    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[],
                         $8::bytea[], $9::bytea[])
        AS a (place, epoch, owner, owner_generation, handle, tag, generation, wrapped, title)
), new AS (
    SELECT * FROM unnest($10::integer[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bigint[], $15::bigint[],
                         $16::bytea[], $17::bytea[])
        AS n (place, tenant, handle, tag, epoch, generation, wrapped, name)
), taken AS (
    SELECT t.place FROM unnest($18::integer[], $19::bytea[]) AS t (place, tag) JOIN {sessions} s USING (tag)
), known AS (
    SELECT t.place FROM unnest($20::integer[], $21::bytea[]) AS t (place, tag) JOIN {users} u USING (tag)
), live AS MATERIALIZED (
    SELECT epoch FROM {epochs} WHERE epoch = ANY ($2) AND state = 'open' FOR SHARE
), ready AS (
    SELECT place FROM asked JOIN live USING (epoch)
    WHERE place NOT IN (SELECT place FROM taken) AND place NOT IN (SELECT place FROM known)
), there AS MATERIALIZED (
    SELECT number, handle, generation FROM {users}
    WHERE EXISTS (SELECT FROM live) AND handle = ANY ($3) ORDER BY handle FOR KEY SHARE
), come AS (
    INSERT INTO {users} (tenant, handle, tag, epoch, generation, wrapped, name)
    SELECT tenant, handle, tag, new.epoch, generation, wrapped, name FROM new JOIN ready USING (place) ORDER BY tag
    ON CONFLICT DO NOTHING RETURNING number, handle, generation
), owners AS (
    SELECT * FROM there UNION ALL SELECT * FROM come
), made AS (
    INSERT INTO {sessions} (owner, handle, tag, generation, wrapped, title)
    SELECT o.number, a.handle, a.tag, a.generation, a.wrapped, a.title
    FROM asked a JOIN ready USING (place) JOIN owners o ON o.handle = a.owner AND o.generation = a.owner_generation
    ORDER BY a.tag
    ON CONFLICT DO NOTHING RETURNING handle
)
SELECT a.handle IN (SELECT handle FROM made),
       a.place IN (SELECT place FROM taken),
       a.epoch IN (SELECT epoch FROM live),
       a.place IN (SELECT place FROM new) OR a.owner IN (SELECT handle FROM there WHERE generation = a.owner_generation)
FROM asked a ORDER BY a.place;

-- name: minted
SELECT handle FROM {sessions} WHERE handle = ANY ($1);

-- name: lock_epoch
SELECT 1 FROM {epochs} WHERE epoch = $1 AND state = 'open' FOR SHARE;

-- name: lock_session
SELECT 1 FROM {sessions} WHERE handle = $1 FOR KEY SHARE;

-- name: lock_user
SELECT number FROM {users} WHERE handle = $1 AND generation = $2 FOR KEY SHARE;

-- name: user_by_tag
SELECT 1 FROM {users} WHERE tag = ANY ($1);

-- name: add_user
INSERT INTO {users} (tenant, handle, tag, epoch, generation, wrapped, name) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING RETURNING number;

-- name: add_guest
INSERT INTO {guests} (session, guest, generation, wrapped) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING 1;

-- name: guest_added
SELECT 1 FROM {guests} WHERE session = $1 AND wrapped = $2;

-- name: guests
SELECT u.handle, u.epoch, u.generation, u.wrapped, u.name, g.generation, g.wrapped
FROM {guests} g JOIN {users} u ON u.number = g.guest WHERE g.session = $1;

-- name: page
SELECT s.number, u.number, u.handle, u.epoch, u.generation, u.wrapped, u.name,
       s.handle, s.generation, s.floor, s.floor_ends, s.wrapped, s.title
FROM {sessions} s JOIN {users} u ON u.number = s.owner
WHERE u.tenant = $1 AND s.number > $2 ORDER BY s.number LIMIT $3;

-- name: page_of_user
SELECT s.number, u.number, u.handle, u.epoch, u.generation, u.wrapped, u.name,
       s.handle, s.generation, s.floor, s.floor_ends, s.wrapped, s.title
FROM {users} u JOIN {sessions} s ON s.owner = u.number
WHERE u.tenant = $1 AND s.number > $2 AND u.handle = $4 ORDER BY s.number LIMIT $3;

-- name: raise_floors
WITH floors AS (
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS f (handle, version, ends)
), held AS MATERIALIZED (
    SELECT handle FROM {sessions} WHERE handle = ANY ($1) ORDER BY handle FOR NO KEY UPDATE
)
UPDATE {sessions} s SET floor = f.version, floor_ends = f.ends
FROM floors f JOIN held USING (handle) WHERE s.handle = f.handle AND s.floor < f.version;

-- name: sessions_of
SELECT handle FROM {sessions} WHERE owner = $1 ORDER BY number;

-- name: visited_by
SELECT session FROM {guests} WHERE guest = $1 ORDER BY session;

-- name: owner_of
SELECT u.handle, s.generation, s.floor, t.handle
FROM {sessions} s JOIN {users} u ON u.number = s.owner JOIN {tenants} t USING (tenant) WHERE s.handle = $1;

-- name: seize_user
SELECT 1 FROM {users} WHERE number = $1 FOR UPDATE;

-- name: seize_sessions
SELECT handle FROM {sessions} WHERE owner = $1 ORDER BY handle FOR UPDATE;

-- name: shred_user
WITH own AS (
    DELETE FROM {guests} WHERE session = ANY ($2)
), visits AS (
    DELETE FROM {guests} WHERE guest = $1 AND session <> ALL ($2)
), kept AS (
    DELETE FROM {sessions} WHERE owner = $1
)
DELETE FROM {users} WHERE number = $1;

-- name: user_row
SELECT number, handle, epoch, generation, wrapped, name FROM {users} WHERE handle = $1;

-- name: renewed
SELECT 1 FROM {users} WHERE handle = $1 AND generation = $2 AND wrapped = $3;

-- name: seize_generation
SELECT number FROM {users} WHERE handle = $1 AND generation = $2 FOR UPDATE;

-- name: shred_but
WITH own AS (
    DELETE FROM {guests} WHERE session = ANY ($2)
), visits AS (
    DELETE FROM {guests} WHERE guest = $1 AND session = ANY ($3)
)
DELETE FROM {sessions} WHERE handle = ANY ($2);

-- name: renew_user
UPDATE {users} SET generation = generation + 1, epoch = $2, wrapped = $3, name = $4, tag = $5 WHERE number = $1;

-- name: renew_sessions
UPDATE {sessions} s SET tag = n.tag, wrapped = n.wrapped
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS n (handle, tag, wrapped) WHERE s.handle = n.handle;

-- name: renew_visits
UPDATE {guests} g SET wrapped = n.wrapped
FROM unnest($2::bytea[], $3::bytea[]) AS n (session, wrapped) WHERE g.session = n.session AND g.guest = $1;

-- name: shred_session
DELETE FROM {sessions} WHERE handle = $1;

-- name: shred_guests
DELETE FROM {guests} WHERE session = $1;

-- name: epochs
SELECT epoch, state, since FROM {epochs} ORDER BY epoch;

-- name: add_epoch
INSERT INTO {epochs} (epoch, state, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: set_epoch
UPDATE {epochs} SET state = $2, since = $3 WHERE epoch = $1;

-- name: hold_epochs
-- A table's lock is given in the order of asking: insertions without end would keep the row's own for ever.
LOCK TABLE {epochs} IN EXCLUSIVE MODE;

-- name: switch_epoch
UPDATE {epochs} SET state = CASE epoch WHEN $1 THEN 'sealed' ELSE 'open' END, since = $3 WHERE epoch IN ($1, $2);

-- name: unprepared
SELECT 1 FROM {tenants} t
WHERE (SELECT count(*) FROM {tenant_keys} k WHERE k.tenant = t.tenant AND k.epoch = $1) < $2 LIMIT 1;

-- name: tenants
SELECT tenant, handle, name FROM {tenants};

-- name: tenant
SELECT tenant, handle FROM {tenants} WHERE name = $1;

-- name: is_any_apart
SELECT EXISTS (SELECT 1 FROM {tenants} WHERE NOT starts_with(name, $1));

-- name: add_tenant
INSERT INTO {tenants} (handle, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING tenant;

-- name: rename_tenants
UPDATE {tenants} t SET name = n.name FROM unnest($1::text[], $2::text[]) AS n (old, name) WHERE t.name = n.old;

-- name: routes
SELECT name, route, place, moving_to FROM {tenants} ORDER BY name COLLATE "C";

-- name: route
SELECT route, place, moving_to FROM {tenants} WHERE name = $1;

-- name: set_route
UPDATE {tenants} SET route = $1, place = $2, moving_to = $3 WHERE name = $4 AND route = $5 RETURNING 1;

-- name: tenant_keys
SELECT kind, epoch, wrapped FROM {tenant_keys} WHERE tenant = $1 ORDER BY epoch;

-- name: add_tenant_key
INSERT INTO {tenant_keys} (tenant, kind, epoch, wrapped) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: delete_tenant_keys
DELETE FROM {tenant_keys} WHERE epoch = $1;

-- name: users_by_epoch
SELECT epoch, count(*) FROM {users} GROUP BY epoch;

-- name: users_under
SELECT tenant, number, handle, epoch, generation, wrapped, name FROM {users} WHERE epoch < $1
ORDER BY epoch, number LIMIT $2;

-- name: sessions_to_retag
SELECT handle, generation, floor, floor_ends, wrapped, title FROM {sessions} WHERE owner = $1 ORDER BY number;

-- name: rewrap_user
UPDATE {users} SET epoch = $1, wrapped = $2, tag = $3 WHERE number = $4 AND wrapped = $5 RETURNING 1;

-- name: retag_sessions
WITH held AS MATERIALIZED (
    SELECT handle FROM {sessions} WHERE handle = ANY ($2) ORDER BY handle FOR UPDATE
)
UPDATE {sessions} s SET tag = n.tag FROM unnest($1::bytea[], $2::bytea[]) AS n (tag, handle) JOIN held USING (handle)
WHERE s.handle = n.handle;

-- name: forget_floors
WITH held AS MATERIALIZED (
    SELECT handle FROM {sessions} WHERE handle = ANY ($1) ORDER BY handle FOR NO KEY UPDATE
)
UPDATE {sessions} s SET floor = 0, floor_ends = 0 FROM held WHERE s.handle = held.handle;

-- name: seize_stamp
LOCK TABLE {stamp} IN EXCLUSIVE MODE;

-- name: adopt_securemem_stamp
INSERT INTO {stamp} (one, deployment, counter) VALUES ($1, $2, $3);

-- name: adopt_epochs
INSERT INTO {epochs} (epoch, state, since) VALUES ($1, $2, $3);

-- name: adopt_tenants
INSERT INTO {tenants} (tenant, handle, name, route, place, moving_to) OVERRIDING SYSTEM VALUE
VALUES ($1, $2, $3, $4, $5, $6);

-- name: adopt_tenant_keys
INSERT INTO {tenant_keys} (tenant, kind, epoch, wrapped) VALUES ($1, $2, $3, $4);

-- name: adopt_users
INSERT INTO {users} (number, tenant, handle, tag, epoch, generation, wrapped, name) OVERRIDING SYSTEM VALUE
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: adopt_sessions
INSERT INTO {sessions} (number, owner, handle, tag, generation, floor, floor_ends, wrapped, title)
OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: adopt_guests
INSERT INTO {guests} (session, guest, generation, wrapped) VALUES ($1, $2, $3, $4);

-- name: go_on_counting
-- No number is given twice, those of who was deleted last included: a new one begins above all that are there.
SELECT setval(pg_get_serial_sequence('{tenants}', 'tenant'), (SELECT coalesce(max(tenant), 0) + 1 FROM {tenants}), false),
       setval(pg_get_serial_sequence('{users}', 'number'), (SELECT coalesce(max(number), 0) + 1 FROM {users}), false),
       setval(pg_get_serial_sequence('{sessions}', 'number'), (SELECT coalesce(max(number), 0) + 1 FROM {sessions}), false);

-- name: backup_securemem_stamp
SELECT one, deployment, counter FROM {stamp} ORDER BY one;

-- name: backup_epochs
SELECT epoch, state, since FROM {epochs} ORDER BY epoch;

-- name: backup_tenants
SELECT tenant, handle, name, route, place, moving_to FROM {tenants} ORDER BY tenant;

-- name: backup_tenant_keys
SELECT tenant, kind, epoch, wrapped FROM {tenant_keys} ORDER BY tenant, kind COLLATE "C", epoch;

-- name: backup_users
SELECT number, tenant, handle, tag, epoch, generation, wrapped, name FROM {users} ORDER BY number;

-- name: backup_sessions
SELECT number, owner, handle, tag, generation, floor, floor_ends, wrapped, title FROM {sessions} ORDER BY number;

-- name: backup_guests
SELECT session, guest, generation, wrapped FROM {guests} ORDER BY session, guest;
