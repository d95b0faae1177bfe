-- Keeps tenants apart in PostgreSQL itself: a role that owns nothing, and a policy on every row.
--
-- SecureMem's own seals keep a tenant from reading or forging another's messages. This is a second fence behind them:
-- the role that applications connect as sees and changes no row but those of the tenant that its connection speaks for.
-- That is the setting securemem.tenant, a random handle, which SecureMem sets on every connection by itself; behind a
-- pooler by transaction it does so in every transaction, which costs two more round trips a call.
--
-- Once, before the first message, as the owner of the tables, after `securemem init` has made them; put your own names
-- where the schema is not public, the table not messages, or the role not securemem_app. From then on applications
-- connect as that role. Upgrades that change tables are run as the owner.
--
-- Making the role takes CREATEROLE; without it, have an administrator make the role first, and it is left as it is. It
-- gets no password here: ALTER ROLE securemem_app PASSWORD '...'. As it owns nothing it cannot run VACUUM FULL, so its
-- receipts name deleted rows in the tables' files as left over: have the owner run that on both tables on a timer.

BEGIN;

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM public.messages_sessions) THEN
        RAISE EXCEPTION 'these tables hold sessions already, and the database does not know whose they are';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'securemem_app') THEN
        CREATE ROLE securemem_app LOGIN NOBYPASSRLS;
    END IF;
END $$;

ALTER TABLE public.messages
    ADD COLUMN tenant bytea NOT NULL DEFAULT decode(current_setting('securemem.tenant', true), 'hex');
ALTER TABLE public.messages_sessions
    ADD COLUMN tenant bytea NOT NULL DEFAULT decode(current_setting('securemem.tenant', true), 'hex');

ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.messages FORCE ROW LEVEL SECURITY;
ALTER TABLE public.messages_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.messages_sessions FORCE ROW LEVEL SECURITY;

-- The setting is read once a statement, not once a row.
CREATE POLICY tenant ON public.messages
    USING (tenant = (SELECT decode(current_setting('securemem.tenant', true), 'hex')));
CREATE POLICY tenant ON public.messages_sessions
    USING (tenant = (SELECT decode(current_setting('securemem.tenant', true), 'hex')));

GRANT USAGE ON SCHEMA public TO securemem_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.messages, public.messages_sessions TO securemem_app;
GRANT SELECT, INSERT, UPDATE ON public.securemem_stamp TO securemem_app;
GRANT SELECT ON public.securemem_schema TO securemem_app;

COMMIT;
