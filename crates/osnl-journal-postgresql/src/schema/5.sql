ALTER TABLE osnl_member ADD COLUMN sections text;
