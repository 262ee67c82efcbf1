-- Of a job's completed images, those whose coded picture stayed because nothing smaller was found.
ALTER TABLE job_request
    ADD COLUMN images_unchanged int NOT NULL DEFAULT 0,
    ADD CONSTRAINT job_request_unchanged_check CHECK (images_unchanged BETWEEN 0 AND images_completed);
UPDATE job_request AS job SET images_unchanged = done.unchanged
FROM (SELECT request_id, count(*) AS unchanged FROM compressed_images WHERE outcome = 'unchanged' GROUP BY request_id) AS done
WHERE job.request_id = done.request_id;
