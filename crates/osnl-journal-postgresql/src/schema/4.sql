ALTER TABLE osnl_unreadable ADD COLUMN digest text;
ALTER TABLE osnl_arrival ADD COLUMN copies bigint NOT NULL DEFAULT 0;
