-- Roles belong to the whole server: made when absent, never dropped. Neither has a password; give one to log in from afar.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['sightline_writer', 'sightline_reader'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', role_name);
            IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this server made it just now
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA sightline TO sightline_writer, sightline_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA sightline TO sightline_writer, sightline_reader;
GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA sightline TO sightline_writer;
GRANT DELETE ON sightline.window_state, sightline.window_slot, sightline.outbox TO sightline_writer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA sightline TO sightline_writer;
REVOKE ALL ON FUNCTION sightline.ensure_partitions(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sightline.ensure_partitions(timestamptz, integer) TO sightline_writer;
REVOKE INSERT, UPDATE ON sightline.alembic_version FROM sightline_writer;

ALTER DEFAULT PRIVILEGES IN SCHEMA sightline GRANT SELECT ON TABLES TO sightline_writer, sightline_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA sightline GRANT INSERT, UPDATE ON TABLES TO sightline_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA sightline GRANT USAGE ON SEQUENCES TO sightline_writer;
