-- The tables of schema sightline; schemas/tables/ says the same in Python, and a test compares the two.

CREATE TABLE sightline.product (
    product text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_product PRIMARY KEY (product)
);

CREATE TABLE sightline.station (
    station text NOT NULL,
    site text NOT NULL,
    line text NOT NULL,
    state text DEFAULT 'unassigned' NOT NULL,
    product text,
    first_seen_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_station PRIMARY KEY (station),
    CONSTRAINT ck_station_state CHECK (state IN ('unassigned', 'assigned')),
    CONSTRAINT fk_station_product FOREIGN KEY(product) REFERENCES sightline.product (product)
);

CREATE TABLE sightline.bundle (
    bundle_sha256 text NOT NULL,
    product text NOT NULL,
    ref text NOT NULL,
    size_bytes bigint NOT NULL,
    manifest jsonb NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_bundle PRIMARY KEY (bundle_sha256),
    CONSTRAINT ck_bundle_sha256 CHECK (bundle_sha256 ~ '^[0-9a-f]{64}$')
);

CREATE TABLE sightline.recipe (
    station text NOT NULL,
    product text NOT NULL,
    revision integer NOT NULL,
    bundle_sha256 text NOT NULL,
    threshold_review double precision NOT NULL,
    threshold_fail double precision NOT NULL,
    min_area_px integer NOT NULL,
    ignore_px jsonb NOT NULL,
    deadline_ms double precision,
    pass_sample double precision NOT NULL,
    window_settings jsonb NOT NULL,
    activated_at timestamptz DEFAULT now() NOT NULL,
    activated_by text DEFAULT current_user NOT NULL,
    CONSTRAINT pk_recipe PRIMARY KEY (station, product, revision),
    CONSTRAINT ck_recipe_revision CHECK (revision >= 1),
    CONSTRAINT ck_recipe_thresholds CHECK (threshold_review <= threshold_fail),
    CONSTRAINT ck_recipe_min_area_px CHECK (min_area_px >= 1),
    CONSTRAINT ck_recipe_deadline_ms CHECK (deadline_ms > 0),
    CONSTRAINT ck_recipe_pass_sample CHECK (pass_sample BETWEEN 0 AND 1),
    CONSTRAINT fk_recipe_station FOREIGN KEY(station) REFERENCES sightline.station (station),
    CONSTRAINT fk_recipe_product FOREIGN KEY(product) REFERENCES sightline.product (product),
    CONSTRAINT fk_recipe_bundle_sha256 FOREIGN KEY(bundle_sha256) REFERENCES sightline.bundle (bundle_sha256)
);

CREATE TABLE sightline.frame (
    station text NOT NULL,
    frame_id text NOT NULL,
    verdict_id text NOT NULL,
    captured_at timestamptz NOT NULL,
    unit_id text,
    lot text,
    product text,
    epoch text,
    sequence bigint,
    n_repeats integer DEFAULT 0 NOT NULL,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_frame PRIMARY KEY (station, frame_id)
);

CREATE TABLE sightline.verdict (
    verdict_id text NOT NULL,
    kind text NOT NULL,
    captured_at timestamptz NOT NULL,
    frame_id text NOT NULL,
    unit_id text,
    lot text,
    site text NOT NULL,
    line text NOT NULL,
    station text NOT NULL,
    product text,
    decided_at timestamptz NOT NULL,
    epoch text,
    sequence bigint,
    outcome text NOT NULL,
    reason text,
    score double precision,
    threshold_review double precision,
    threshold_fail double precision,
    n_defects integer NOT NULL,
    alignment_status text NOT NULL,
    dx_px double precision,
    dy_px double precision,
    angle_deg double precision,
    residual double precision,
    gate_image double precision NOT NULL,
    gate_fields double precision NOT NULL,
    bundle_sha256 text,
    recipe_revision integer,
    template_sha256 text,
    backend text,
    precision text,
    version text NOT NULL,
    topic text,
    partition integer,
    "offset" bigint,
    queue_ms double precision,
    decode_ms double precision,
    align_ms double precision,
    localise_ms double precision,
    read_ms double precision,
    fuse_ms double precision,
    total_ms double precision,
    late boolean NOT NULL,
    evidence_picture text,
    evidence_heat_map text,
    traceparent text,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_verdict PRIMARY KEY (verdict_id, kind, captured_at),
    CONSTRAINT ck_verdict_kind CHECK (kind IN ('live', 'reinspection')),
    CONSTRAINT ck_verdict_outcome CHECK (outcome IN ('pass', 'fail', 'review', 'uninspected'))
) PARTITION BY RANGE (captured_at);
CREATE INDEX ix_verdict_station_captured_at ON sightline.verdict (station, captured_at);
CREATE INDEX ix_verdict_unit_id ON sightline.verdict (unit_id) WHERE unit_id IS NOT NULL;

CREATE TABLE sightline.defect (
    verdict_id text NOT NULL,
    verdict_kind text NOT NULL,
    ordinal integer NOT NULL,
    captured_at timestamptz NOT NULL,
    kind text NOT NULL,
    score double precision NOT NULL,
    area_px bigint NOT NULL,
    x_px integer NOT NULL,
    y_px integer NOT NULL,
    w_px integer NOT NULL,
    h_px integer NOT NULL,
    template_x_px integer NOT NULL,
    template_y_px integer NOT NULL,
    template_w_px integer NOT NULL,
    template_h_px integer NOT NULL,
    CONSTRAINT pk_defect PRIMARY KEY (verdict_id, verdict_kind, ordinal)
);

CREATE TABLE sightline.field_reading (
    verdict_id text NOT NULL,
    verdict_kind text NOT NULL,
    ordinal integer NOT NULL,
    captured_at timestamptz NOT NULL,
    name text NOT NULL,
    value_number double precision,
    value_text text,
    unit text,
    confidence double precision NOT NULL,
    status text NOT NULL,
    CONSTRAINT pk_field_reading PRIMARY KEY (verdict_id, verdict_kind, ordinal)
);

CREATE TABLE sightline.review (
    review_id bigint GENERATED ALWAYS AS IDENTITY,
    verdict_id text NOT NULL,
    answer text NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_review PRIMARY KEY (review_id),
    CONSTRAINT ck_review_answer CHECK (answer IN ('confirmed', 'false_call', 'escape'))
);
CREATE INDEX ix_review_verdict_id ON sightline.review (verdict_id);

CREATE TABLE sightline.alert (
    alert_id text NOT NULL,
    state text NOT NULL,
    rank integer NOT NULL,
    rule text NOT NULL,
    cause text NOT NULL,
    station text NOT NULL,
    product text NOT NULL,
    region_x_px integer NOT NULL,
    region_y_px integer NOT NULL,
    region_w_px integer NOT NULL,
    region_h_px integer NOT NULL,
    epoch text,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL,
    n_frames bigint NOT NULL,
    hit_rate double precision NOT NULL,
    period bigint,
    statistic double precision NOT NULL,
    threshold double precision NOT NULL,
    arl0_frames double precision NOT NULL,
    frames jsonb NOT NULL,
    gradient_map text,
    text text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT pk_alert PRIMARY KEY (alert_id),
    CONSTRAINT ck_alert_state CHECK (state IN ('suspected', 'confirmed', 'acknowledged', 'cleared'))
);
CREATE INDEX ix_alert_station_product ON sightline.alert (station, product);

CREATE TABLE sightline.alert_event (
    alert_id text NOT NULL,
    state text NOT NULL,
    at timestamptz NOT NULL,
    last_sequence bigint NOT NULL,
    n_frames bigint NOT NULL,
    statistic double precision NOT NULL,
    gradient_map text,
    text text NOT NULL,
    who text,
    note text,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_alert_event PRIMARY KEY (alert_id, state),
    CONSTRAINT fk_alert_event_alert_id FOREIGN KEY(alert_id) REFERENCES sightline.alert (alert_id)
);

CREATE TABLE sightline.window_state (
    station text NOT NULL,
    product text NOT NULL,
    version bigint NOT NULL,
    state bytea NOT NULL,
    last_epoch text,
    last_sequence bigint,
    saved_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_window_state PRIMARY KEY (station, product)
);

CREATE TABLE sightline.window_slot (
    station text NOT NULL,
    product text NOT NULL,
    slot integer NOT NULL,
    frame bytea NOT NULL,
    CONSTRAINT pk_window_slot PRIMARY KEY (station, product, slot)
);

CREATE TABLE sightline.outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY,
    message_id text NOT NULL,
    topic text NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    sent_at timestamptz,
    CONSTRAINT pk_outbox PRIMARY KEY (outbox_id)
);
CREATE UNIQUE INDEX ix_outbox_message_id ON sightline.outbox (message_id);
CREATE INDEX ix_outbox_unsent ON sightline.outbox (outbox_id) WHERE sent_at IS NULL;

CREATE TABLE sightline.dead_letter (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    at timestamptz NOT NULL,
    record_at timestamptz NOT NULL,
    key bytea,
    value bytea,
    evidence text,
    size_bytes bigint NOT NULL,
    headers jsonb NOT NULL,
    n_replays integer DEFAULT 0 NOT NULL,
    replayed_at timestamptz,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_dead_letter PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX ix_dead_letter_at ON sightline.dead_letter (at);

CREATE TABLE sightline.verdict_default PARTITION OF sightline.verdict DEFAULT;

-- Pictures do not compress: keep them out of line, as they are.
ALTER TABLE sightline.window_slot ALTER COLUMN frame SET STORAGE EXTERNAL;
ALTER TABLE sightline.dead_letter ALTER COLUMN value SET STORAGE EXTERNAL;
