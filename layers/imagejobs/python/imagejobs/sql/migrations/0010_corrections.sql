-- Rows that failed, as their owner gets them, and as they came back corrected.
ALTER TABLE job_request
    ADD COLUMN failures_version    text,   -- of results/<name>.failures.csv; NULL while no row has failed
    ADD COLUMN corrections_version text,   -- of corrections/<request_id>.json, which lies over the sheet; NULL for none
    ADD COLUMN corrections_sha256  text,   -- of the file that was merged last: sent again, it is known
    ADD CONSTRAINT job_request_corrections_check CHECK ((corrections_version IS NULL) = (corrections_sha256 IS NULL));
