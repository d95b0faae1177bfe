-- What a purge asks the server.

-- name: begin
SELECT pg_current_xact_id()::xid::text,
       current_setting('is_superuser') = 'on' OR pg_has_role('pg_read_all_stats', 'USAGE');

-- name: table
SELECT pg_total_relation_size(oid), pg_relation_filenode(oid) FROM (SELECT to_regclass($1) AS oid) t WHERE oid IS NOT NULL;

-- name: watched
-- Whether a transaction that may still see what was deleted before $1 is under way, as far as this user is told.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (datid IS NULL OR datname = current_database())
      AND greatest(age(backend_xmin), age(backend_xid)) > age($1::text::xid)
    UNION ALL SELECT FROM pg_prepared_xacts WHERE database = current_database() AND age(transaction) > age($1::text::xid)
    UNION ALL SELECT FROM pg_replication_slots WHERE age(xmin) > age($1::text::xid)
);

-- name: probe
BEGIN;
SET LOCAL lock_timeout = '{patience}';
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
COMMIT;

-- name: rewrite
VACUUM (FULL, VERBOSE) {table};

-- name: vacuum
VACUUM {table};

-- name: log
SELECT has_function_privilege('pg_switch_wal()', 'EXECUTE') AND has_function_privilege('pg_ls_waldir()', 'EXECUTE')
           AND (current_setting('is_superuser') = 'on'
                OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_checkpoint' AND pg_has_role(oid, 'USAGE'))) AS ours,
       greatest((SELECT count(*) FROM pg_stat_replication),
                (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'physical')) AS replicas,
       current_setting('archive_mode') <> 'off' AS archived,
       current_setting('wal_recycle') = 'off' AND pg_size_bytes(current_setting('wal_keep_size')) = 0
           AND current_setting('archive_mode') = 'off' AND NOT EXISTS (SELECT FROM pg_replication_slots) AS removed,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_bytes,
       pg_walfile_name(pg_current_wal_insert_lsn()) AS newest,
       clock_timestamp() + 2 * current_setting('checkpoint_timeout')::interval AS until;

-- name: end
SELECT pg_current_wal_lsn()::text;

-- name: wanted
-- Whether the log up to its segment $1, which ends before $2, is kept for somebody who is about to take it.
SELECT EXISTS (SELECT FROM pg_replication_slots WHERE active AND restart_lsn < $2::text::pg_lsn)
    OR (current_setting('archive_mode') <> 'off'
        AND (SELECT coalesce(last_archived_wal, '') < $1::text COLLATE "C" FROM pg_stat_archiver));

-- name: segments
SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' ORDER BY name;

-- name: newest
SELECT pg_walfile_name(pg_current_wal_insert_lsn());

-- name: note
-- So that there is something to leave behind: at the beginning of a segment a switch does nothing.
SELECT pg_logical_emit_message(false, 'securemem', repeat(' ', $1::integer));

-- name: switch
SELECT pg_switch_wal();

-- name: checkpoint
CHECKPOINT;
