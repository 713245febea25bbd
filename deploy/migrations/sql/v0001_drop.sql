DROP VIEW sightline.v_gap, sightline.v_unit_history, sightline.v_unit, sightline.v_overkill, sightline.v_systematic,
    sightline.v_pareto, sightline.v_yield;
DROP FUNCTION sightline.ensure_partitions(timestamptz, integer);
DROP TABLE sightline.dead_letter, sightline.outbox, sightline.window_slot, sightline.window_state,
    sightline.alert_event, sightline.alert, sightline.review, sightline.field_reading, sightline.defect,
    sightline.verdict, sightline.frame, sightline.recipe, sightline.bundle, sightline.station, sightline.product;
