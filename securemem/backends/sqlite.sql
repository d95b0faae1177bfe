-- One session's rows lie together: id = session number << 32 | seq, and the head is the last of its range, so that one
-- statement walks from the head back through the newest rows.

-- name: schema
CREATE TABLE IF NOT EXISTS "{table}" (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS "{table}_sessions" (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    handle BLOB NOT NULL UNIQUE,
    due INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS "{table}_due" ON "{table}_sessions" (due) WHERE due > 0;
CREATE TABLE IF NOT EXISTS securemem_stamp (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    deployment BLOB NOT NULL,
    counter INTEGER NOT NULL
);

-- name: stamp
SELECT deployment, counter FROM securemem_stamp;

-- name: set_stamp
INSERT INTO securemem_stamp (one, deployment, counter) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET counter = max(counter, excluded.counter);

-- name: numbers
SELECT handle, number FROM "{table}_sessions" WHERE handle IN

-- name: number
SELECT number FROM "{table}_sessions" WHERE handle = ?;

-- name: new_number
INSERT INTO "{table}_sessions" (handle) VALUES (?) RETURNING number;

-- name: tail
SELECT id & 4294967295, CAST(body AS BLOB) FROM "{table}" WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?;

-- name: head
SELECT id, CAST(body AS BLOB) FROM "{table}" WHERE id IN

-- name: swap_head
UPDATE "{table}" SET body = ? WHERE id = ? AND body = ?;

-- name: put
INSERT INTO "{table}" (id, body) VALUES {rows} ON CONFLICT (id) DO UPDATE SET body = excluded.body;

-- name: delete_range
DELETE FROM "{table}" WHERE id BETWEEN ? AND ?;

-- name: row_beyond
SELECT id FROM "{table}" WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1 OFFSET ?;

-- name: forget_number
DELETE FROM "{table}_sessions" WHERE number = ?;

-- name: set_due
UPDATE "{table}_sessions" SET due = ? WHERE number = ?;

-- name: census
SELECT substr(body, 30, 16) FROM "{table}" WHERE substr(body, 1, 4) = x'534d0101';

-- name: census_of
SELECT substr(body, 30, 16), count(*) FROM "{table}"
WHERE id BETWEEN ? AND ? AND substr(body, 1, 4) = x'534d0101' GROUP BY 1;

-- name: due
SELECT handle FROM "{table}_sessions" WHERE due > 0 AND due <= ? ORDER BY due LIMIT ?;
