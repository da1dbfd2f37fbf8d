CREATE TABLE osnl_seen (
    name bytea PRIMARY KEY,
    is_message boolean NOT NULL,
    touched bigint NOT NULL,
    told text NOT NULL
);
CREATE INDEX osnl_seen_touched ON osnl_seen (is_message, touched);
CREATE INDEX osnl_object_at ON osnl_object (at);
CREATE TABLE osnl_seen_version (
    id smallint PRIMARY KEY,
    version bigint NOT NULL,
    arrival bigint NOT NULL,
    resources bigint NOT NULL,
    messages bigint NOT NULL
) WITH (fillfactor = 25);
INSERT INTO osnl_seen_version (id, version, arrival, resources, messages) VALUES (0, 0, 0, 0, 0);
