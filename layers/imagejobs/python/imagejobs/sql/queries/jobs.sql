-- insert_uploaded_job --
INSERT INTO job_request (request_id, owner, source_key, options, webhook_url)
VALUES (%(request_id)s, %(owner)s, %(source_key)s, %(options)s, %(webhook_url)s);

-- delete_pending_job --
DELETE FROM job_request
WHERE request_id = %(request_id)s AND status = 'PENDING' AND source_version IS NULL;

-- insert_dropped_job --
INSERT INTO job_request (request_id, owner, source_key, source_version, options, webhook_url)
VALUES (%(request_id)s, %(owner)s, %(source_key)s, %(source_version)s, %(options)s, %(webhook_url)s)
ON CONFLICT DO NOTHING;

-- accept_source --
-- The first version that arrives is the job; a later one changes nothing.
UPDATE job_request SET source_version = %(source_version)s, updated_at = now()
WHERE request_id = %(request_id)s AND source_version IS NULL;

-- get_job --
SELECT * FROM job_request WHERE request_id = %(request_id)s;

-- get_owned_job --
SELECT * FROM job_request WHERE request_id = %(request_id)s AND owner = %(owner)s;

-- lease_fan_out --
UPDATE job_request
SET status = 'PROCESSING', updated_at = now(), fan_out_token = %(token)s,
    fan_out_leased_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE request_id = %(request_id)s
  AND source_version = %(source_version)s
  AND status IN ('PENDING', 'PROCESSING')
  AND finalizable_at IS NULL
  AND (rows_total IS NULL OR rows_sent < rows_total)
  AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now())
RETURNING *;

-- release_fan_out --
UPDATE job_request SET fan_out_token = NULL, fan_out_leased_until = NULL, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s;

-- advance_rows_staged --
UPDATE job_request SET rows_staged = %(row_number)s, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s AND rows_staged < %(row_number)s;

-- declare_totals --
UPDATE job_request
SET rows_total = %(rows_total)s, rows_failed = %(rows_failed)s, images_total = %(images_total)s, updated_at = now(),
    finalizable_at = CASE WHEN %(images_total)s = 0 THEN now() END
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s AND rows_total IS NULL;

-- advance_rows_sent --
UPDATE job_request SET rows_sent = %(row_number)s, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s AND rows_sent < %(row_number)s;

-- finish_sending --
UPDATE job_request SET rows_sent = rows_total, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s;

-- refuse_sheet --
-- The totals were never declared, so nothing has been sent: what was staged goes, and the finalizer tells the owner.
-- Once they are declared the sheet is known to be good.
WITH refused AS (
    UPDATE job_request
    SET error_message = %(error_message)s, finalizable_at = now(), updated_at = now(),
        rows_staged = 0, rows_total = 0, images_total = 0, fan_out_token = NULL, fan_out_leased_until = NULL
    WHERE request_id = %(request_id)s AND status IN ('PENDING', 'PROCESSING')
      AND finalizable_at IS NULL AND rows_total IS NULL
    RETURNING request_id
)
DELETE FROM compressed_images USING refused WHERE compressed_images.request_id = refused.request_id;

-- lock_jobs --
-- Always in the same order, so that two batches over the same jobs cannot deadlock.
SELECT request_id FROM job_request WHERE request_id = ANY(%(request_ids)s::uuid[]) ORDER BY request_id FOR UPDATE;

-- close_job --
UPDATE job_request
SET status = %(status)s, error_message = coalesce(error_message, %(error_message)s),
    completion_percentage = 100,
    result_key = %(result_key)s, result_version = %(result_version)s, updated_at = now()
WHERE request_id = %(request_id)s AND generation = %(generation)s
  AND finalizable_at IS NOT NULL AND status IN ('PENDING', 'PROCESSING');

-- list_finalizable --
SELECT request_id, generation FROM job_request
WHERE status IN ('PENDING', 'PROCESSING') AND finalizable_at < now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY finalizable_at LIMIT %(limit)s;

-- list_finalizable_among --
SELECT request_id, generation FROM job_request
WHERE request_id = ANY(%(request_ids)s::uuid[]) AND finalizable_at IS NOT NULL AND status IN ('PENDING', 'PROCESSING');

-- next_generation --
UPDATE job_request SET generation = generation + 1, updated_at = now()
WHERE request_id = %(request_id)s AND generation = %(generation)s AND status IN ('PENDING', 'PROCESSING')
RETURNING generation;

-- list_stalled_fan_outs --
SELECT request_id, source_key, source_version FROM job_request
WHERE status IN ('PENDING', 'PROCESSING') AND finalizable_at IS NULL
  AND (rows_total IS NULL OR rows_sent < rows_total)
  AND source_version IS NOT NULL
  AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now())
  AND updated_at < now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY updated_at LIMIT %(limit)s;

-- list_missing_sheets --
SELECT request_id, source_key FROM job_request
WHERE status = 'PENDING' AND source_version IS NULL AND finalizable_at IS NULL
  AND updated_at < now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY updated_at LIMIT %(limit)s;
