-- A dry run looks at its images and compresses none: they are completed without an object, and the job has a summary.
ALTER TABLE job_request
    ADD COLUMN dry_run   boolean NOT NULL DEFAULT false,
    ADD COLUMN preflight jsonb,                              -- the summary; NULL until the dry run is closed
    ADD CONSTRAINT job_request_preflight_check CHECK (preflight IS NULL OR dry_run);
-- Counted apart from those that are compressed: who has looked at a sheet must still be able to have it done.
ALTER TABLE caller_usage
    ADD COLUMN images_checked bigint NOT NULL DEFAULT 0 CHECK (images_checked >= 0);
-- contract: what the CHECKs let pass so far, these let pass too.
ALTER TABLE compressed_images
    DROP CONSTRAINT compressed_images_outcome_check,
    ADD CONSTRAINT compressed_images_outcome_check CHECK (outcome IN ('smaller', 'converted', 'unchanged', 'checked')),
    DROP CONSTRAINT compressed_images_check1,
    ADD CONSTRAINT compressed_images_seen_check CHECK (
        num_nonnulls(format, outcome, width, height, bytes_before) = CASE status WHEN 'COMPLETED' THEN 5 ELSE 0 END),
    ADD CONSTRAINT compressed_images_stored_check CHECK (
        num_nonnulls(image_url, object_key, bytes_after) = CASE WHEN outcome <> 'checked' THEN 3 ELSE 0 END),
    ADD CONSTRAINT compressed_images_checked_check CHECK (
        outcome <> 'checked' OR num_nonnulls(encoder, encoder_quality, cpu_ms, score, content, url_key) = 0);
