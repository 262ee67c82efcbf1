-- What a report on a job is made of, and where it lies. Images done before this have no hash, jobs closed before no
-- report.
ALTER TABLE compressed_images
    ADD COLUMN perceptual_hash bigint,                  -- of the picture that came, upright: `image_hash`
    ADD CONSTRAINT compressed_images_hash_check CHECK (status = 'COMPLETED' OR perceptual_hash IS NULL);
ALTER TABLE job_request
    ADD COLUMN report_key     text,                     -- of this generation, NULL until it is written
    ADD COLUMN report_version text,
    ADD CONSTRAINT job_request_report_check CHECK ((report_key IS NULL) = (report_version IS NULL));
