-- How a coding looks, where the job asked for a least score, and what a picture that came without loss is: photographs
-- among those would be far smaller in another format. Images done before this have neither.
ALTER TABLE compressed_images
    ADD COLUMN score   float8 CHECK (score BETWEEN 1 AND 100),  -- SSIMULACRA2; options take no lower floor
    ADD COLUMN content text CHECK (content IN ('photograph', 'graphic')),
    DROP CONSTRAINT compressed_images_coded_check,
    ADD CONSTRAINT compressed_images_coded_check
        CHECK (status = 'COMPLETED' OR num_nonnulls(encoder, encoder_quality, cpu_ms, score, content) = 0),
    ADD CONSTRAINT compressed_images_exact_check CHECK (outcome <> 'unchanged' OR score = 100);
