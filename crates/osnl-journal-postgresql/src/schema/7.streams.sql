CREATE TABLE osnl_stream (
    name bytea PRIMARY KEY,
    since bigint NOT NULL,
    seen bigint NOT NULL,
    last bigint
) WITH (fillfactor = 25);
CREATE TABLE osnl_stream_slot (
    name bytea NOT NULL,
    slot bigint NOT NULL,
    count bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (name, slot)
) WITH (fillfactor = 50);
