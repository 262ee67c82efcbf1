-- insert_job --
-- A repeat changes nothing: an upload's id is new with it, a dropped file's is derived from its version.
INSERT INTO job_request (request_id, owner, source_key, source_version, options, layout, dry_run, webhook_url,
                         idempotency_key, upload_sha256, daily_images)
VALUES (%(request_id)s, %(owner)s, %(source_key)s, %(source_version)s, %(options)s, %(layout)s, %(dry_run)s, %(webhook_url)s,
        %(idempotency_key)s, %(upload_sha256)s, %(daily_images)s)
ON CONFLICT DO NOTHING;

-- find_upload --
SELECT request_id, source_key, source_version, upload_sha256, finalizable_at FROM job_request
WHERE owner = %(owner)s AND idempotency_key = %(idempotency_key)s;

-- await_sheet --
-- Another form was given out for it: the time in which the sheet must come begins anew.
UPDATE job_request SET updated_at = now()
WHERE request_id = %(request_id)s AND source_version IS NULL AND finalizable_at IS NULL;

-- delete_pending_job --
-- An upload with a key stays: its caller repeats it, and another request may be doing so now.
DELETE FROM job_request
WHERE request_id = %(request_id)s AND status = 'PENDING' AND source_version IS NULL AND idempotency_key IS NULL;

-- accept_source --
-- The first version that arrives is the job; a later one changes nothing.
UPDATE job_request SET source_version = %(source_version)s, updated_at = now()
WHERE request_id = %(request_id)s AND source_version IS NULL;

-- get_job --
SELECT * FROM job_request WHERE request_id = %(request_id)s;

-- get_owned_job --
SELECT * FROM job_request WHERE request_id = %(request_id)s AND owner = %(owner)s;

-- list_jobs --
-- Keyset paging, newest first; each status by itself, so that as few rows are read of one as of all.
SELECT job.* FROM unnest(%(statuses)s) AS wanted (status) CROSS JOIN LATERAL (
    SELECT * FROM job_request
    WHERE owner = %(owner)s AND status = wanted.status
      AND (created_at, request_id) < (%(before_created_at)s, %(before_request_id)s)
    ORDER BY created_at DESC, request_id DESC LIMIT %(limit)s
) AS job
ORDER BY created_at DESC, request_id DESC LIMIT %(limit)s;

-- lock_owned_job --
SELECT * FROM job_request WHERE request_id = %(request_id)s AND owner = %(owner)s FOR UPDATE;

-- images_out --
-- Of a job: those that are sent and not done, counted back from the cursor until there are as many as may be: what lies
-- further back is mostly done, and must not be gone through with every batch.
(SELECT count(*) FROM (
    SELECT FROM compressed_images AS image
    WHERE image.request_id = job.request_id AND image.status = 'PENDING' AND image.row_number <= job.rows_sent
    ORDER BY image.row_number DESC LIMIT %(max_images_out)s) AS sent)

-- lease_fan_out --
UPDATE job_request AS job
SET status = 'PROCESSING', updated_at = now(), fan_out_token = %(token)s,
    fan_out_attempt = fan_out_attempt + (fan_out_token IS DISTINCT FROM %(token)s)::int,
    fan_out_leased_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE request_id = %(request_id)s
  AND source_version = %(source_version)s
  AND status IN ('PENDING', 'PROCESSING')
  AND finalizable_at IS NULL
  AND (rows_total IS NULL OR rows_sent < rows_total AND {images_out} < %(max_images_out)s)
  AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now() OR fan_out_token = %(token)s)
RETURNING *;

-- renew_fan_out --
UPDATE job_request SET fan_out_leased_until = now() + make_interval(secs => %(lease_seconds)s), updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s;

-- release_fan_out --
UPDATE job_request SET fan_out_token = NULL, fan_out_leased_until = NULL, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s;

-- advance_rows_staged --
UPDATE job_request SET rows_staged = %(row_number)s, fan_out_attempt = 0, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s AND rows_staged < %(row_number)s;

-- hold_fan_out --
SELECT request_id FROM job_request WHERE request_id = %(request_id)s AND fan_out_token = %(token)s FOR UPDATE;

-- declare_totals --
-- Images that are counted here, not when the job was made, count for today.
UPDATE job_request
SET rows_total = %(rows_total)s, rows_failed = %(rows_failed)s, images_total = %(images_total)s, updated_at = now(),
    sheet_found = %(sheet_found)s, rows_staged = %(rows_total)s, finalizable_at = CASE WHEN %(images_total)s = 0 THEN now() END,
    counted_on = CASE WHEN daily_images IS NULL THEN counted_on ELSE (now() AT TIME ZONE 'UTC')::date END
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s AND rows_total IS NULL;

-- advance_rows_sent --
UPDATE job_request SET rows_sent = greatest(rows_sent, %(row_number)s), fan_out_attempt = 0, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s;

-- finish_sending --
-- Unless there are rows that wait for room.
UPDATE job_request AS job SET rows_sent = rows_total, updated_at = now()
WHERE request_id = %(request_id)s AND fan_out_token = %(token)s
  AND NOT EXISTS (SELECT FROM compressed_images AS image
                  WHERE image.request_id = job.request_id AND image.status = 'PENDING'
                    AND image.row_number > job.rows_sent);

-- list_jobs_with_room --
-- Of the jobs named, those with rows to send that nobody is sending.
SELECT source_key, source_version FROM job_request AS job
WHERE request_id = ANY(%(request_ids)s::uuid[]) AND rows_sent < rows_total AND finalizable_at IS NULL
  AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now())
  AND {images_out} < %(max_images_out)s;

-- refuse_sheet --
-- Only while its totals are not declared, so nothing has been sent; and never under another's fan-out.
UPDATE job_request
SET error_message = %(error_message)s, finalizable_at = now(), updated_at = now(),
    rows_staged = 0, rows_total = 0, images_total = 0, fan_out_token = NULL, fan_out_leased_until = NULL
WHERE request_id = %(request_id)s AND source_version IS NOT DISTINCT FROM %(source_version)s
  AND status IN ('PENDING', 'PROCESSING') AND finalizable_at IS NULL AND rows_total IS NULL
  AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now() OR fan_out_token = %(token)s);

-- lock_jobs --
-- Always in the same order, as `count_terminal` does it.
SELECT request_id, generation FROM job_request
WHERE request_id = ANY(%(request_ids)s::uuid[]) ORDER BY request_id FOR UPDATE;

-- close_job --
-- With it, the images that were reused are given back to their caller's day; a dry run's were not counted there.
WITH open AS (
    SELECT request_id, owner, counted_on, CASE WHEN dry_run THEN 0 ELSE images_reused - images_credited END AS credit
    FROM job_request
    WHERE request_id = %(request_id)s AND generation = %(generation)s
      AND finalizable_at IS NOT NULL AND status IN ('PENDING', 'PROCESSING') FOR UPDATE
), closed AS (
    UPDATE job_request AS job
    SET status = %(status)s, error_message = coalesce(error_message, %(error_message)s),
        completion_percentage = 100, images_credited = images_reused,
        result_key = %(result_key)s, result_version = %(result_version)s, failures_version = %(failures_version)s,
        preflight = %(preflight)s,
        updated_at = now()
    FROM open WHERE job.request_id = open.request_id
    RETURNING job.request_id, job.generation, job.status, job.error_message
), credited AS (
    UPDATE caller_usage AS used SET images = greatest(0, used.images - open.credit)
    FROM open WHERE used.owner = open.owner AND used.day = open.counted_on AND open.credit > 0
)
INSERT INTO job_outcome (request_id, generation, status, error_message) SELECT * FROM closed;

-- list_finalizable --
-- Those that were looked after longest ago come first, so that running executions cannot crowd out stopped ones.
UPDATE job_request SET swept_at = now()
WHERE request_id IN (
    SELECT request_id FROM job_request
    WHERE settled_at IS NULL AND finalizable_at < now() - make_interval(secs => %(older_than_seconds)s)
    ORDER BY swept_at NULLS FIRST LIMIT %(limit)s)
RETURNING request_id, generation, finalizer_run;

-- list_finalizable_among --
SELECT request_id, generation, finalizer_run FROM job_request
WHERE request_id = ANY(%(request_ids)s::uuid[]) AND finalizable_at IS NOT NULL AND status IN ('PENDING', 'PROCESSING');

-- list_stalled_fan_outs --
SELECT request_id, source_key, source_version FROM job_request AS job
WHERE settled_at IS NULL AND status IN ('PENDING', 'PROCESSING') AND finalizable_at IS NULL
  AND (rows_total IS NULL OR rows_sent < rows_total AND {images_out} < %(max_images_out)s)
  AND source_version IS NOT NULL
  AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now())
  AND updated_at < now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY updated_at LIMIT %(limit)s;

-- list_missing_sheets --
SELECT request_id FROM job_request
WHERE settled_at IS NULL AND status = 'PENDING' AND source_version IS NULL AND finalizable_at IS NULL
  AND updated_at < now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY updated_at LIMIT %(limit)s;

-- delete_refused_images --
-- A statement of its own, after `refuse_sheet` has the job's row: it sees what was staged until then.
DELETE FROM compressed_images USING job_request AS job
WHERE compressed_images.request_id = %(request_id)s AND job.request_id = %(request_id)s AND job.rows_total = 0;

-- delete_refused_row_errors --
DELETE FROM row_error USING job_request AS job
WHERE row_error.request_id = %(request_id)s AND job.request_id = %(request_id)s AND job.rows_total = 0;

-- settle_job --
UPDATE job_request SET settled_at = now()
WHERE request_id = %(request_id)s AND generation = %(generation)s
  AND status IN ('COMPLETED', 'FAILED') AND settled_at IS NULL;

-- next_finalizer_run --
-- Of two sweepers that see the same execution stopped, one moves on; both start what it moved on to.
UPDATE job_request SET finalizer_run = greatest(finalizer_run, %(finalizer_run)s + 1)
WHERE request_id = %(request_id)s AND generation = %(generation)s AND settled_at IS NULL
RETURNING request_id, generation, finalizer_run;

-- rewind_unmoved_jobs --
-- Rows are sent, nobody works on any, and nothing has moved for hours: the messages are lost.
UPDATE job_request AS job SET rows_sent = 0, updated_at = now()
WHERE settled_at IS NULL AND status = 'PROCESSING' AND finalizable_at IS NULL AND rows_sent > 0
  AND updated_at < now() - make_interval(secs => %(older_than_seconds)s)
  AND NOT EXISTS (SELECT FROM compressed_images AS image
                  WHERE image.request_id = job.request_id AND image.status = 'PENDING'
                    AND image.lease_token IS NOT NULL)
RETURNING request_id;

-- list_stuck_jobs --
-- A sheet that has not come is its caller's to send.
SELECT request_id FROM job_request
WHERE settled_at IS NULL AND status IN ('PENDING', 'PROCESSING')
  AND (source_version IS NOT NULL OR finalizable_at IS NOT NULL)
  AND updated_at < now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY updated_at LIMIT %(limit)s;

-- begin_generation --
-- What is left to do decides where it begins: rows to be sent again, or nothing but the finished CSV. A fan-out that
-- still holds its lease loses it: the cursor that it would move is the earlier generation's.
UPDATE job_request
SET generation = generation + 1, status = 'PROCESSING', completion_percentage = 0, error_message = NULL,
    cancelled_at = NULL, preflight = NULL, images_failed = 0,
    images_total = now_total, images_completed = now_completed, images_kept = now_completed,
    images_unchanged = images_unchanged - %(unchanged_gone)s,
    images_reused = images_reused - %(reused_gone)s, images_credited = images_credited - %(reused_gone)s,
    bytes_before = bytes_before - %(bytes_before_gone)s, bytes_after = bytes_after - %(bytes_after_gone)s,
    rows_failed = rows_failed - %(rows_failed_gone)s + %(rows_failed_added)s,
    corrections_version = coalesce(%(corrections_version)s, corrections_version),
    corrections_sha256 = coalesce(%(corrections_sha256)s, corrections_sha256),
    rows_sent = CASE WHEN now_completed < now_total THEN 0 ELSE rows_total END, fan_out_attempt = 0,
    fan_out_token = NULL, fan_out_leased_until = NULL,
    finalizable_at = CASE WHEN now_completed = now_total THEN now() END, settled_at = NULL,
    report_key = NULL, report_version = NULL, finalizer_run = 1, first_attempt = 1, updated_at = now(),
    counted_on = CASE WHEN %(is_counted)s THEN (now() AT TIME ZONE 'UTC')::date END
FROM (SELECT images_completed - %(completed_gone)s AS now_completed,
             images_total - %(images_gone)s + %(images_added)s AS now_total
      FROM job_request WHERE request_id = %(request_id)s) AS corrected
WHERE request_id = %(request_id)s
RETURNING job_request.*;

-- cancel_job --
-- The fan-out loses its lease with it: it sends nothing more.
UPDATE job_request
SET cancelled_at = now(), rows_sent = rows_staged, fan_out_token = NULL, fan_out_leased_until = NULL, updated_at = now()
WHERE request_id = %(request_id)s;

-- redeliver_webhook --
-- Unless nothing was attempted since it was last asked for: then that attempt is still to come.
UPDATE job_request AS job
SET settled_at = NULL, finalizer_run = finalizer_run + 1, first_attempt = last.attempt + 1, updated_at = now()
FROM (SELECT attempt FROM webhook_delivery WHERE event_id = %(event_id)s ORDER BY attempt DESC LIMIT 1) AS last
WHERE job.request_id = %(request_id)s AND last.attempt >= job.first_attempt;
