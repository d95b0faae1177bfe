-- What opening a store, and beginning a session, ask of a ledger in PostgreSQL.

-- name: look
SELECT to_regclass($1) IS NOT NULL AS kept,
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $2 AND c.relname = ANY ($3)) AS tables,
       coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $2),
                has_database_privilege(current_database(), 'CREATE')) AS may_create,
       coalesce((SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                                 AND has_table_privilege(c.oid, 'UPDATE'))
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = $2 AND c.relname = ANY ($3)), true) AS may_use;

-- name: version
SELECT version_num FROM {version};

-- name: peek
SELECT deployment, (SELECT coalesce(max(counter), 0) FROM {acts}),
       (SELECT count(*) FROM {acts} WHERE done_at IS NULL)
FROM {stamp};

-- name: standing
SELECT EXISTS (SELECT FROM {holds} WHERE released_at IS NULL AND kind <> 'preserved');
