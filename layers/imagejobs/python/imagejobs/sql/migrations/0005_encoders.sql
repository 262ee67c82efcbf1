-- How an image was coded. An unchanged one was coded by nobody here; images done before this have none of it.
ALTER TABLE compressed_images
    ADD COLUMN encoder         text,
    ADD COLUMN encoder_quality int CHECK (encoder_quality BETWEEN 0 AND 100),  -- the encoder's own number
    ADD COLUMN cpu_ms          int CHECK (cpu_ms >= 0),
    DROP CONSTRAINT compressed_images_outcome_check,
    ADD CHECK (outcome IN ('smaller', 'converted', 'unchanged')),
    ADD CONSTRAINT compressed_images_coded_check
        CHECK (status = 'COMPLETED' OR num_nonnulls(encoder, encoder_quality, cpu_ms) = 0),
    ADD CONSTRAINT compressed_images_unchanged_check
        CHECK (outcome <> 'unchanged' OR num_nonnulls(encoder, encoder_quality) = 0);
