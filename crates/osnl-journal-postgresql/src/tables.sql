CREATE TABLE osnl_partition (
    id smallint PRIMARY KEY,
    epoch bigint NOT NULL,
    token bytea,
    beat bigint NOT NULL
) WITH (fillfactor = 25);
INSERT INTO osnl_partition (id, epoch, beat) SELECT n, 0, 0 FROM generate_series(0, 63) AS n;

CREATE TABLE osnl_member (
    token bytea PRIMARY KEY,
    name text NOT NULL,
    program text NOT NULL,
    number bigint NOT NULL,
    sections text,
    held text
) WITH (fillfactor = 25);

CREATE TABLE osnl_reader (
    name bytea PRIMARY KEY,
    listener text NOT NULL,
    queue text NOT NULL,
    epoch bigint NOT NULL,
    token bytea NOT NULL,
    beat bigint NOT NULL
) WITH (fillfactor = 25);

CREATE TABLE osnl_counter (name text PRIMARY KEY, next bigint NOT NULL);
INSERT INTO osnl_counter (name, next) VALUES ('arrival', 1);

CREATE TABLE osnl_arrival (
    id bigint PRIMARY KEY,
    identity bytea NOT NULL,
    nameless bytea,
    epoch bigint NOT NULL,
    received bigint NOT NULL,
    redelivered boolean NOT NULL,
    deliveries bigint NOT NULL,
    listener text NOT NULL,
    queue text NOT NULL,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    content_type text,
    content_encoding text,
    compression text,
    message_id text,
    unique_id text,
    event_type text,
    body bytea NOT NULL,
    happened text,
    copies bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX osnl_arrival_identity ON osnl_arrival (identity);
CREATE INDEX osnl_arrival_nameless ON osnl_arrival (nameless) WHERE nameless IS NOT NULL;

CREATE TABLE osnl_delivery (
    id bigint PRIMARY KEY,
    arrival bigint NOT NULL,
    partition smallint NOT NULL,
    lane bigint,
    state smallint NOT NULL,
    begins smallint NOT NULL,
    rule text NOT NULL,
    action text NOT NULL,
    key bytea,
    ordered boolean NOT NULL,
    resource bigint,
    subject_id text,
    subject_name text,
    attempts bigint NOT NULL DEFAULT 0,
    aged bigint NOT NULL DEFAULT 0,
    tries bigint NOT NULL DEFAULT 0,
    due bigint NOT NULL DEFAULT 0,
    pause bigint NOT NULL DEFAULT 0,
    guarded boolean NOT NULL DEFAULT false,
    ended bigint,
    took bigint,
    reason text,
    cause text
) WITH (fillfactor = 80);
CREATE INDEX osnl_delivery_arrived ON osnl_delivery (partition, id) WHERE state = -1;
CREATE INDEX osnl_delivery_lane ON osnl_delivery (lane, state, id) WHERE lane IS NOT NULL;
CREATE INDEX osnl_delivery_done ON osnl_delivery (ended) WHERE state >= 4;
CREATE INDEX osnl_delivery_stopped ON osnl_delivery (state, action, id) WHERE state IN (0, 2, 3);
CREATE INDEX osnl_delivery_ready ON osnl_delivery (action, due, id) WHERE state = 1;

CREATE TABLE osnl_attempt (
    delivery bigint NOT NULL,
    slot smallint NOT NULL,
    at bigint NOT NULL,
    answer text NOT NULL,
    request text,
    took bigint,
    PRIMARY KEY (delivery, slot)
);
CREATE TABLE osnl_enriched (delivery bigint PRIMARY KEY, found text NOT NULL);
CREATE TABLE osnl_object (name bytea PRIMARY KEY, at bigint NOT NULL, body text NOT NULL);

CREATE TABLE osnl_unreadable (
    id bigint PRIMARY KEY,
    identity bytea NOT NULL,
    received bigint NOT NULL,
    redelivered boolean NOT NULL,
    listener text NOT NULL,
    queue text NOT NULL,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    content_type text,
    content_encoding text,
    compression text,
    reason text NOT NULL,
    size bigint NOT NULL,
    extent bigint NOT NULL,
    message_id text,
    publisher_id text,
    event_type text,
    body bytea NOT NULL,
    digest text
);
CREATE INDEX osnl_unreadable_identity ON osnl_unreadable (identity);
CREATE TABLE osnl_part (
    transfer bytea NOT NULL,
    part integer NOT NULL,
    at bigint NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (transfer, part)
);

CREATE TABLE osnl_tally (
    partition smallint NOT NULL,
    action text NOT NULL,
    state smallint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (partition, action, state)
) WITH (fillfactor = 50);

CREATE TABLE osnl_paused (action text PRIMARY KEY, since bigint NOT NULL, operator text NOT NULL);
CREATE INDEX osnl_delivery_dead ON osnl_delivery (action, ended) WHERE state = 3;

CREATE TABLE osnl_change (
    command bytea NOT NULL,
    delivery bigint NOT NULL,
    partition smallint NOT NULL,
    asker bytea NOT NULL,
    asked bigint NOT NULL,
    kind smallint NOT NULL,
    text text NOT NULL,
    action text,
    out_of_order boolean NOT NULL,
    is_dry_run boolean NOT NULL,
    verdict smallint NOT NULL DEFAULT 0,
    why text,
    PRIMARY KEY (command, delivery)
);
CREATE INDEX osnl_change_pending ON osnl_change (partition) WHERE verdict <= 1;
CREATE TABLE osnl_forgotten (
    partition smallint NOT NULL,
    action text NOT NULL,
    delivery bigint NOT NULL,
    PRIMARY KEY (partition, action)
);
CREATE INDEX osnl_delivery_effect ON osnl_delivery (key, id) WHERE state BETWEEN 4 AND 5 AND key IS NOT NULL;

CREATE INDEX osnl_arrival_canary ON osnl_arrival (message_id) WHERE event_type = 'osnl.canary' AND length(message_id) <= 64;

CREATE INDEX osnl_object_at ON osnl_object (at);
