-- An image whose URL stands earlier in the same sheet: nobody works on it, it becomes what the earlier one became.
ALTER TABLE compressed_images
    ADD COLUMN same_as_row_number int,
    ADD COLUMN same_as_position   int,
    ADD CHECK ((same_as_row_number IS NULL) = (same_as_position IS NULL)),
    ADD CHECK ((same_as_row_number, same_as_position) < (row_number, position)),
    ADD CHECK (same_as_row_number IS NULL OR lease_token IS NULL);
