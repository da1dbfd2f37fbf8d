CREATE TABLE osnl_paused (action text PRIMARY KEY, since bigint NOT NULL, operator text NOT NULL);
CREATE INDEX osnl_delivery_dead ON osnl_delivery (action, ended) WHERE state = 3;
