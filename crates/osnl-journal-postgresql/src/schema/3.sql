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
