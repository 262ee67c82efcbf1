-- What callers and operators ask of a job after its upload: a retry, a cancellation, another delivery of its webhook.
ALTER TABLE job_request
    ADD COLUMN images_kept     int NOT NULL DEFAULT 0,  -- of images_completed, those of earlier generations
    ADD COLUMN cancelled_at    timestamptz,             -- from here on no image of this generation is begun
    ADD COLUMN first_attempt   int NOT NULL DEFAULT 1,  -- at the webhook, of the delivery asked for last
    ADD COLUMN idempotency_key text,
    ADD COLUMN upload_sha256   text,                    -- of what was uploaded with that key
    ADD UNIQUE (owner, idempotency_key),
    ADD CHECK ((idempotency_key IS NULL) = (upload_sha256 IS NULL)),
    ADD CHECK (images_kept <= images_completed),
    ADD CHECK (first_attempt > 0);

-- One row a generation that was closed: what its webhook says happened.
CREATE TABLE job_outcome (
    request_id    uuid NOT NULL REFERENCES job_request (request_id) ON DELETE CASCADE,
    generation    int NOT NULL CHECK (generation > 0),
    status        text NOT NULL CHECK (status IN ('COMPLETED', 'FAILED')),
    error_message text,
    closed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id, generation)
);
INSERT INTO job_outcome (request_id, generation, status, error_message, closed_at)
SELECT request_id, generation, status, error_message, updated_at FROM job_request
WHERE status IN ('COMPLETED', 'FAILED');
