ALTER TABLE osnl_reader ADD COLUMN position text;
