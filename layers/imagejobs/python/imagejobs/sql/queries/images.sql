-- copy_images --
COPY compressed_images (request_id, row_number, position, product_name, source_url) FROM STDIN;

-- list_pending_rows --
SELECT DISTINCT row_number FROM compressed_images
WHERE request_id = %(request_id)s AND row_number > %(after_row)s AND status = 'PENDING'
ORDER BY row_number LIMIT %(limit)s;

-- lease_images --
-- Whoever holds the lease works on the image; an image of another's lease is left alone.
UPDATE compressed_images AS image
SET lease_token = %(token)s, leased_until = now() + make_interval(secs => %(lease_seconds)s), attempt = attempt + 1
FROM job_request AS job,
     unnest(%(request_ids)s::uuid[], %(row_numbers)s::int[]) AS wanted (request_id, row_number)
WHERE image.request_id = wanted.request_id AND image.row_number = wanted.row_number
  AND job.request_id = image.request_id
  AND image.status = 'PENDING'
  AND (image.leased_until IS NULL OR image.leased_until < now())
RETURNING image.image_id, image.request_id, image.row_number, image.position, image.source_url, image.attempt,
          job.options;

-- list_unfinished_rows --
-- Of the rows named, those with an image that is not terminal, and the seconds until its lease ends.
SELECT image.request_id, image.row_number,
       coalesce(max(extract(epoch FROM image.leased_until - now())), 0)::float AS leased_seconds
FROM compressed_images AS image
JOIN unnest(%(request_ids)s::uuid[], %(row_numbers)s::int[]) AS wanted (request_id, row_number)
  USING (request_id, row_number)
WHERE image.status = 'PENDING'
GROUP BY image.request_id, image.row_number;

-- release_images --
-- attempt_refund is 1 for images that were never begun, so that only real attempts count.
UPDATE compressed_images
SET lease_token = NULL, leased_until = NULL, attempt = attempt - %(attempt_refund)s
WHERE image_id = ANY(%(image_ids)s::uuid[]) AND lease_token = %(token)s;

-- finish_images --
-- The guarded transition: only images that become terminal here, under this lease, move their job's counters.
WITH finished AS (
    SELECT * FROM jsonb_to_recordset(%(finished)s) AS f (
        image_id uuid, status text, error_code text, error_message text, image_url text, object_key text,
        format text, outcome text, width int, height int, bytes_before bigint, bytes_after bigint)
), terminal AS (
    UPDATE compressed_images AS image
    SET status = f.status, error_code = f.error_code, error_message = f.error_message, image_url = f.image_url,
        object_key = f.object_key, format = f.format, outcome = f.outcome, width = f.width, height = f.height,
        bytes_before = f.bytes_before, bytes_after = f.bytes_after, lease_token = NULL, leased_until = NULL
    FROM finished AS f
    WHERE image.image_id = f.image_id AND image.status = 'PENDING' AND image.lease_token = %(token)s
    RETURNING image.request_id, image.status, image.bytes_before, image.bytes_after
), {count_terminal}

-- bury_row --
WITH terminal AS (
    UPDATE compressed_images
    SET status = 'FAILED', error_code = %(error_code)s, error_message = %(error_message)s,
        lease_token = NULL, leased_until = NULL
    WHERE request_id = %(request_id)s AND row_number = %(row_number)s AND status = 'PENDING'
    RETURNING request_id, status, bytes_before, bytes_after
), {count_terminal}

-- count_terminal --
tally AS (
    SELECT request_id,
           count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
           count(*) FILTER (WHERE status = 'FAILED') AS failed,
           coalesce(sum(bytes_before) FILTER (WHERE status = 'COMPLETED'), 0) AS before,
           coalesce(sum(bytes_after) FILTER (WHERE status = 'COMPLETED'), 0) AS after
    FROM terminal GROUP BY request_id
)
UPDATE job_request AS job
SET images_completed = images_completed + tally.completed,
    images_failed = images_failed + tally.failed,
    bytes_before = job.bytes_before + tally.before,
    bytes_after = job.bytes_after + tally.after,
    completion_percentage =
        least(99, (images_completed + images_failed + tally.completed + tally.failed) * 100 / images_total),
    finalizable_at = CASE
        WHEN images_completed + images_failed + tally.completed + tally.failed = images_total THEN now() END,
    updated_at = now()
FROM tally WHERE job.request_id = tally.request_id;

-- list_images --
-- Keyset paging over the unique index.
SELECT image_id, row_number, position, product_name, source_url, image_url, status, error_code, error_message,
       format, outcome, width, height, bytes_before, bytes_after
FROM compressed_images
WHERE request_id = %(request_id)s AND (row_number, position) > (%(after_row)s, %(after_position)s)
ORDER BY row_number, position LIMIT %(limit)s;

-- list_expired_leases --
SELECT DISTINCT request_id, row_number FROM compressed_images
WHERE leased_until < now() - make_interval(secs => %(grace_seconds)s)
LIMIT %(limit)s;

-- clear_expired_leases --
UPDATE compressed_images AS image SET lease_token = NULL, leased_until = NULL
FROM unnest(%(request_ids)s::uuid[], %(row_numbers)s::int[]) AS rung (request_id, row_number)
WHERE image.request_id = rung.request_id AND image.row_number = rung.row_number AND image.leased_until < now();
