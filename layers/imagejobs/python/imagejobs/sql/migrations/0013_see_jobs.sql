-- A caller's jobs, newest first; with the status before the time, so that the few of one status are not searched for
-- among all the others.
CREATE INDEX job_request_listed ON job_request (owner, status, created_at, request_id);
-- Those of a job that failed, among a million that did not.
CREATE INDEX compressed_images_failed ON compressed_images (request_id, row_number, position) WHERE status = 'FAILED';
