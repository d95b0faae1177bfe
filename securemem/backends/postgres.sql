-- One statement a read and one a write. A session's rows are contiguous and `next` is the seq after the newest, so that
-- both ends of a page are known and no plan, however old, reads more than the page. A column of a batch in which nothing
-- is said comes empty, and is NULL in every row of its `unnest`: it leaves what it would set, and bounds nothing.
-- {rows} and {trim} are as many as postgres.py has.

-- name: stamp
SELECT deployment, counter FROM {stamp};

-- name: has_stamp
-- All tables of a schema have one, and so has a table that is not made yet.
SELECT to_regclass('{stamp}') IS NOT NULL;

-- name: row_security
SELECT relrowsecurity FROM pg_class WHERE oid = '{table}'::regclass;

-- name: begun
-- When the server's process began: another one began at another moment.
SELECT pg_postmaster_start_time();

-- name: set_stamp
INSERT INTO {stamp} AS stood (one, deployment, counter) VALUES (1, $1, $2)
ON CONFLICT (one) DO UPDATE SET counter = greatest(stood.counter, excluded.counter);

-- name: tail
SELECT s.head, r.seqs, r.bodies
FROM {sessions} s, LATERAL (
    SELECT array_agg(seq) AS seqs, array_agg(body) AS bodies
    FROM (SELECT seq, body FROM {table}
          WHERE session = s.session AND seq >= least(s.next, $3) - $2 AND seq < least(s.next, $3)
          ORDER BY seq DESC) newest
) r
WHERE s.session = $1;

-- name: tails
SELECT a.place, s.head, r.seqs, r.bodies
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS a (session, most, before, place)
JOIN {sessions} s ON s.session = a.session, LATERAL (
    SELECT array_agg(seq) AS seqs, array_agg(body) AS bodies
    FROM (SELECT seq, body FROM {table}
          WHERE session = s.session AND seq >= least(s.next, a.before) - a.most AND seq < least(s.next, a.before)
          ORDER BY seq DESC) newest
) r;

-- name: headless
SELECT seq, body FROM {table} t WHERE session = $1 AND seq < $3
    AND NOT EXISTS (SELECT 1 FROM {sessions} s WHERE s.session = t.session)
ORDER BY seq DESC LIMIT $2;

-- name: heads
SELECT session, head FROM {sessions} WHERE session = ANY ($1);

-- name: move
WITH moved AS (
    UPDATE {sessions} SET head = $3, next = greatest(next, $4), due = coalesce($5, due)
    WHERE session = $1 AND head = $2 RETURNING 1
), put AS (
    INSERT INTO {table} (session, seq, body)
    SELECT $1, r.seq, r.body FROM moved, {rows} AS r (seq, body)
    ON CONFLICT (session, seq) DO UPDATE SET body = excluded.body
)
SELECT 1 FROM moved;

-- name: move_and_trim
WITH moved AS (
    UPDATE {sessions} SET head = $3, next = greatest(next, $4), due = coalesce($5, due)
    WHERE session = $1 AND head = $2 RETURNING 1
), put AS (
    INSERT INTO {table} (session, seq, body)
    SELECT $1, r.seq, r.body FROM moved, {rows} AS r (seq, body)
    ON CONFLICT (session, seq) DO UPDATE SET body = excluded.body
), trimmed AS (
    DELETE FROM {table} USING moved WHERE session = $1 AND {trim}
)
SELECT 1 FROM moved;

-- name: begin
WITH moved AS (
    INSERT INTO {sessions} (session, head, next, due) VALUES ($1, $2, $3, coalesce($4::bigint, 0))
    ON CONFLICT (session) DO NOTHING RETURNING 1
), put AS (
    INSERT INTO {table} (session, seq, body)
    SELECT $1, r.seq, r.body FROM moved, unnest($5::bigint[], $6::bytea[]) AS r (seq, body)
    ON CONFLICT (session, seq) DO UPDATE SET body = excluded.body
)
SELECT 1 FROM moved;

-- name: moves
WITH asked AS (
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS a (session, expected, head, next, due, trim_first, trim_end)
), locked AS MATERIALIZED (
    -- In one order everywhere: batches of two processes that share sessions would wait for each other for ever.
    SELECT s.session, s.head FROM {sessions} s WHERE s.session = ANY ($1) ORDER BY s.session FOR UPDATE
), moved AS (
    UPDATE {sessions} s SET head = a.head, next = greatest(s.next, a.next), due = coalesce(a.due, s.due)
    FROM asked a JOIN locked l ON l.session = a.session AND l.head = a.expected
    WHERE s.session = a.session RETURNING s.session
), begun AS (
    INSERT INTO {sessions} (session, head, next, due)
    SELECT session, head, next, coalesce(due, 0) FROM asked WHERE expected = '' ORDER BY session
    ON CONFLICT (session) DO NOTHING RETURNING session
), made AS (
    SELECT session FROM moved UNION ALL SELECT session FROM begun
), put AS (
    INSERT INTO {table} (session, seq, body)
    SELECT r.session, r.seq, r.body FROM unnest($8::bytea[], $9::bigint[], $10::bytea[]) AS r (session, seq, body)
    JOIN made USING (session)
    ON CONFLICT (session, seq) DO UPDATE SET body = excluded.body
), trimmed AS (
    DELETE FROM {table} t USING asked a JOIN made USING (session)
    WHERE t.session = a.session AND t.seq >= a.trim_first AND t.seq < a.trim_end
)
SELECT session FROM made;

-- name: count_rows
SELECT count(*) FROM {table} WHERE session = ANY ($1);

-- name: delete_rows
WITH gone AS (DELETE FROM {table} WHERE session = ANY ($1) RETURNING 1) SELECT count(*) FROM gone;

-- name: delete_heads
DELETE FROM {sessions} WHERE session = ANY ($1);

-- name: due
SELECT session FROM {sessions} WHERE due > 0 AND due <= $1 ORDER BY due LIMIT $2;

-- name: census
SELECT substring(body FROM 30 FOR 16) AS clear, count(*) FROM {table}
WHERE substring(body FROM 1 FOR 4) = '\x534d0101'::bytea GROUP BY clear;

-- name: census_of
SELECT substring(body FROM 30 FOR 16) AS clear, count(*) FROM {table}
WHERE session = ANY ($1) AND substring(body FROM 1 FOR 4) = '\x534d0101'::bytea GROUP BY clear;

-- name: rows_at
SELECT seq, body FROM {table} WHERE session = $1 AND seq = ANY ($2);
