ALTER TABLE osnl_delivery ADD COLUMN unguarded boolean NOT NULL DEFAULT false;
CREATE TABLE osnl_window (
    name bytea PRIMARY KEY,
    version bigint NOT NULL,
    at bigint NOT NULL,
    ahead bigint NOT NULL
) WITH (fillfactor = 25);
CREATE TABLE osnl_guard_key (
    key bytea PRIMARY KEY,
    guard bytea NOT NULL,
    at bigint NOT NULL,
    passed boolean NOT NULL
);
CREATE INDEX osnl_guard_key_at ON osnl_guard_key (guard, at);
CREATE TABLE osnl_grant (
    name bytea NOT NULL,
    number bigint NOT NULL,
    calls bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (name, number)
);
