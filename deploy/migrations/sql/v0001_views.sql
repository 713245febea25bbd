-- The questions people ask, answered over live decisions; docs/sql.md explains every column.

CREATE VIEW sightline.v_yield AS
SELECT date_trunc('hour', captured_at, 'UTC') AS hour,
       station,
       product,
       count(*) FILTER (WHERE outcome = 'pass') AS n_pass,
       count(*) FILTER (WHERE outcome = 'fail') AS n_fail,
       count(*) FILTER (WHERE outcome = 'review') AS n_review,
       count(*) FILTER (WHERE outcome = 'uninspected') AS n_uninspected,
       count(*) FILTER (WHERE outcome = 'pass')::double precision
           / nullif(count(*) FILTER (WHERE outcome <> 'uninspected'), 0) AS first_pass_yield
FROM sightline.verdict
WHERE kind = 'live'
GROUP BY 1, 2, 3;
COMMENT ON VIEW sightline.v_yield IS 'Outcomes and first-pass yield per hour (UTC), station and product.';

-- A region is a 32 px tile of the template, by the centre of the defect's box.
CREATE VIEW sightline.v_pareto AS
SELECT d.kind,
       format('x%s-%s y%s-%s', tile.x_px, tile.x_px + 31, tile.y_px, tile.y_px + 31) AS region,
       count(*) AS n,
       v.station,
       v.product,
       count(DISTINCT d.verdict_id) AS n_frames,
       max(d.score) AS max_score,
       min(v.captured_at) AS first_at,
       max(v.captured_at) AS last_at
FROM sightline.defect d
JOIN sightline.verdict v
    ON v.verdict_id = d.verdict_id AND v.kind = d.verdict_kind AND v.captured_at = d.captured_at
CROSS JOIN LATERAL (
    SELECT 32 * floor((d.template_x_px + d.template_w_px / 2.0) / 32)::integer AS x_px,
           32 * floor((d.template_y_px + d.template_h_px / 2.0) / 32)::integer AS y_px
) tile
WHERE d.verdict_kind = 'live'
GROUP BY d.kind, tile.x_px, tile.y_px, v.station, v.product;
COMMENT ON VIEW sightline.v_pareto IS 'Defects by kind and 32 px tile of the template: what to fix first.';

CREATE VIEW sightline.v_systematic AS
SELECT a.alert_id,
       a.station,
       a.product,
       a.rule,
       a.cause,
       a.state,
       a.state <> 'cleared' AS is_open,
       format('x%s-%s y%s-%s', a.region_x_px, a.region_x_px + a.region_w_px - 1,
              a.region_y_px, a.region_y_px + a.region_h_px - 1) AS region,
       a.first_sequence,
       a.last_sequence,
       least(suspected.last_sequence, confirmed.last_sequence) - a.first_sequence + 1 AS delay_frames,
       confirmed.last_sequence - a.first_sequence + 1 AS confirm_delay_frames,
       suspected.at AS suspected_at,
       confirmed.at AS confirmed_at,
       acknowledged.at AS acknowledged_at,
       acknowledged.who AS acknowledged_by,
       cleared.at AS cleared_at,
       a.n_frames,
       a.hit_rate,
       a.statistic,
       a.threshold,
       a.arl0_frames,
       a.gradient_map,
       a.text
FROM sightline.alert a
LEFT JOIN sightline.alert_event suspected ON suspected.alert_id = a.alert_id AND suspected.state = 'suspected'
LEFT JOIN sightline.alert_event confirmed ON confirmed.alert_id = a.alert_id AND confirmed.state = 'confirmed'
LEFT JOIN sightline.alert_event acknowledged
    ON acknowledged.alert_id = a.alert_id AND acknowledged.state = 'acknowledged'
LEFT JOIN sightline.alert_event cleared ON cleared.alert_id = a.alert_id AND cleared.state = 'cleared';
COMMENT ON VIEW sightline.v_systematic IS 'Open and past alerts, with how many frames each took to be raised.';

-- Of several answers to one verdict the newest counts.
CREATE VIEW sightline.v_overkill AS
SELECT v.station,
       v.product,
       v.recipe_revision,
       count(*) FILTER (WHERE v.outcome <> 'uninspected') AS n_inspected,
       count(*) FILTER (WHERE v.outcome = 'fail') AS n_fail,
       count(*) FILTER (WHERE v.outcome = 'review') AS n_review,
       count(r.answer) AS n_answered,
       count(*) FILTER (WHERE r.answer = 'confirmed') AS n_confirmed,
       count(*) FILTER (WHERE r.answer = 'false_call') AS n_false_call,
       count(*) FILTER (WHERE r.answer = 'escape') AS n_escape,
       1000.0::double precision * count(*) FILTER (WHERE r.answer = 'false_call')
           / nullif(count(*) FILTER (WHERE v.outcome <> 'uninspected'), 0) AS false_calls_per_1000,
       1000.0::double precision * count(*) FILTER (WHERE r.answer = 'escape')
           / nullif(count(*) FILTER (WHERE v.outcome <> 'uninspected'), 0) AS escapes_per_1000
FROM sightline.verdict v
LEFT JOIN (
    SELECT DISTINCT ON (verdict_id) verdict_id, answer
    FROM sightline.review
    ORDER BY verdict_id, at DESC, review_id DESC
) r ON r.verdict_id = v.verdict_id
WHERE v.kind = 'live' AND v.recipe_revision IS NOT NULL
GROUP BY v.station, v.product, v.recipe_revision;
COMMENT ON VIEW sightline.v_overkill IS 'False calls and escapes by recipe revision, from what people answered.';

-- A unit is expected at every station of its line that has a recipe for its product.
CREATE VIEW sightline.v_unit AS
SELECT u.unit_id,
       (ARRAY['pass', 'review', 'uninspected', 'fail'])[u.worst] AS worst_outcome,
       u.stations,
       ARRAY(
           SELECT DISTINCT expected.station
           FROM sightline.recipe recipe
           JOIN sightline.station expected ON expected.station = recipe.station
           WHERE recipe.product = ANY (u.products)
             AND expected.site || '/' || expected.line = ANY (u.lines)
             AND expected.station <> ALL (u.stations)
           ORDER BY 1
       ) AS stations_missing,
       u.products,
       u.lots,
       u.n_frames,
       u.first_at,
       u.last_at
FROM (
    SELECT unit_id,
           max(CASE outcome WHEN 'fail' THEN 4 WHEN 'uninspected' THEN 3 WHEN 'review' THEN 2 ELSE 1 END) AS worst,
           array_agg(DISTINCT station ORDER BY station) AS stations,
           array_agg(DISTINCT site || '/' || line) AS lines,
           coalesce(array_agg(DISTINCT product) FILTER (WHERE product IS NOT NULL), '{}') AS products,
           coalesce(array_agg(DISTINCT lot) FILTER (WHERE lot IS NOT NULL), '{}') AS lots,
           count(*) AS n_frames,
           min(captured_at) AS first_at,
           max(captured_at) AS last_at
    FROM sightline.verdict
    WHERE kind = 'live' AND unit_id IS NOT NULL
    GROUP BY unit_id
) u;
COMMENT ON VIEW sightline.v_unit IS 'Each unit: its worst outcome over the stations that saw it, and the stations that did not.';

CREATE VIEW sightline.v_unit_history AS
SELECT v.unit_id,
       v.captured_at,
       v.station,
       v.kind,
       v.outcome,
       v.reason,
       v.score,
       v.n_defects,
       v.product,
       v.lot,
       v.frame_id,
       v.verdict_id,
       v.decided_at,
       v.recipe_revision,
       v.bundle_sha256,
       v.evidence_picture,
       v.evidence_heat_map,
       r.answer,
       r.who AS answered_by,
       r.why AS answer_why
FROM sightline.verdict v
LEFT JOIN LATERAL (
    SELECT answer, who, why
    FROM sightline.review
    WHERE review.verdict_id = v.verdict_id
    ORDER BY at DESC, review_id DESC
    LIMIT 1
) r ON true
WHERE v.unit_id IS NOT NULL;
COMMENT ON VIEW sightline.v_unit_history IS 'Every verdict of a unit, live and re-inspected, with the newest answer to it.';

-- A hole in the numbers of one boot of one camera: frames lost before the line, or refused as dead letters.
CREATE VIEW sightline.v_gap AS
SELECT station, epoch, after_sequence, sequence AS before_sequence, sequence - after_sequence - 1 AS n_missing,
       after_at, captured_at AS before_at
FROM (
    SELECT station, epoch, sequence, captured_at,
           lag(sequence) OVER boot AS after_sequence,
           lag(captured_at) OVER boot AS after_at
    FROM sightline.frame
    WHERE sequence IS NOT NULL
    WINDOW boot AS (PARTITION BY station, epoch ORDER BY sequence)
) numbered
WHERE sequence - after_sequence > 1;
COMMENT ON VIEW sightline.v_gap IS 'Holes in the sequence numbers of each boot of each camera.';
