-- Beside the object that is named after its content, a copy that is named after the sheet's own numbers, where the job
-- asked for one. Another attempt may write it anew: which version is this image's is said here.
ALTER TABLE compressed_images
    ADD COLUMN human_key     text,
    ADD COLUMN human_version text,
    ADD COLUMN human_url     text,
    ADD CONSTRAINT compressed_images_human_check
        CHECK (num_nonnulls(human_key, human_version, human_url) IN (0, 3)
               AND (status = 'COMPLETED' OR human_key IS NULL));
CREATE INDEX compressed_images_human_key ON compressed_images (human_key) WHERE human_key IS NOT NULL;
