-- Images that became terminal, numbered in the order of their commits: one row a commit, or more where it ended many.
-- Numbers are given under the lock on the job's row, which is kept until the commit: whoever sees one sees all before
-- it.
ALTER TABLE job_request
    ADD COLUMN event_count bigint NOT NULL DEFAULT 0 CHECK (event_count >= 0);  -- the number given last
CREATE TABLE job_event (
    request_id  uuid NOT NULL REFERENCES job_request (request_id) ON DELETE CASCADE,
    last_number bigint NOT NULL,  -- of the last image here; those before it have the numbers before it
    image_ids   uuid[] NOT NULL CHECK (cardinality(image_ids) BETWEEN 1 AND 500),
    PRIMARY KEY (request_id, last_number),
    CHECK (last_number >= cardinality(image_ids))
);

-- A caller's jobs, newest first; with the status before the time, so that the few of one status are not searched for
-- among all the others.
CREATE INDEX job_request_listed ON job_request (owner, status, created_at, request_id);
-- Those of a job that failed, among a million that did not.
CREATE INDEX compressed_images_failed ON compressed_images (request_id, row_number, position) WHERE status = 'FAILED';
