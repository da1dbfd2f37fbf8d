ALTER TABLE osnl_member ADD COLUMN held text;
