-- Months of `verdict`. Rows outside every month lie in verdict_default; when their month is made they move there.
-- SECURITY DEFINER: workers connect as sightline_writer, which owns no table.
-- Where somebody holds the table for long (a backup), it gives up: verdict_default serves until the next call.
CREATE FUNCTION sightline.ensure_partitions(first_day timestamptz, n_months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    month timestamptz;
    name text;
    n_created integer := 0;
BEGIN
    FOR i IN 0 .. n_months - 1 LOOP
        month := date_trunc('month', first_day) + make_interval(months => i);
        name := to_char(month, '"verdict_"YYYY"_"MM');
        CONTINUE WHEN to_regclass(format('sightline.%I', name)) IS NOT NULL;
        BEGIN
            -- Writers wait here and not at verdict_default, where the rows they bring would be refused afterwards.
            LOCK TABLE ONLY sightline.verdict IN SHARE ROW EXCLUSIVE MODE;
            CONTINUE WHEN to_regclass(format('sightline.%I', name)) IS NOT NULL;
            LOCK TABLE sightline.verdict_default IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('CREATE TABLE sightline.%I (LIKE sightline.verdict INCLUDING ALL)', name);
            EXECUTE format(
                'WITH moved AS (DELETE FROM sightline.verdict_default WHERE captured_at >= %L AND captured_at < %L'
                ' RETURNING *) INSERT INTO sightline.%I SELECT * FROM moved',
                month, month + interval '1 month', name);
            EXECUTE format('ALTER TABLE sightline.verdict ATTACH PARTITION sightline.%I FOR VALUES FROM (%L) TO (%L)',
                name, month, month + interval '1 month');
        EXCEPTION WHEN lock_not_available THEN
            RETURN n_created;
        END;
        n_created := n_created + 1;
    END LOOP;
    RETURN n_created;
END
$$;
COMMENT ON FUNCTION sightline.ensure_partitions IS
    'Makes the monthly partitions of verdict from first_day on; returns how many are new.';
