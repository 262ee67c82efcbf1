-- copy_images --
COPY compressed_images (request_id, row_number, position, serial_number, product_name, source_url) FROM STDIN;

-- copy_row_errors --
COPY row_error (request_id, row_number, line_number, error_message) FROM STDIN;

-- mark_repeated_urls --
-- Again after a correction: an image that is to be done must not wait for one that has another URL now, or is gone. Of
-- a completed one the mark stays: it says that others than the image that its object was made for may name that. None
-- where each image gets a human URL: somebody must work on it. Of a dry run none does.
UPDATE compressed_images AS image
SET same_as_row_number = ranked.first_row_number, same_as_position = ranked.first_position
FROM (
    SELECT image_id, CASE WHEN row_number() OVER url > 1 THEN first_value(row_number) OVER url END AS first_row_number,
           CASE WHEN row_number() OVER url > 1 THEN first_value(position) OVER url END AS first_position
    FROM compressed_images WHERE request_id = %(request_id)s
      AND (SELECT options ->> 'human_urls' IS NULL OR dry_run FROM job_request WHERE request_id = %(request_id)s)
    WINDOW url AS (PARTITION BY source_url COLLATE "C" ORDER BY row_number, position)
) AS ranked
WHERE image.image_id = ranked.image_id AND image.status = 'PENDING'
  AND (image.same_as_row_number, image.same_as_position)
      IS DISTINCT FROM (ranked.first_row_number, ranked.first_position);

-- list_rows_to_send --
-- The rows of the next images, as many as there is room for; the last row may have more than that.
SELECT DISTINCT next.row_number FROM job_request AS job CROSS JOIN LATERAL (
    SELECT row_number FROM compressed_images
    WHERE request_id = job.request_id AND row_number > job.rows_sent AND status = 'PENDING'
    ORDER BY row_number
    LIMIT (SELECT least(%(limit)s, %(max_images_out)s - {images_out}))
) AS next
WHERE job.request_id = %(request_id)s ORDER BY next.row_number;

-- lease_images --
-- Whoever holds the lease works on the image. Images whose earlier lease ran out without a word may be what killed
-- the worker: they are granted apart from the others. A repeat with the same token, after a lost reply, gets the same.
WITH {named_images}, chosen AS (
    SELECT image.image_id
    FROM compressed_images AS image JOIN named USING (image_id)
    WHERE image.status = 'PENDING' AND image.not_before <= now()
      AND (image.leased_until IS NULL OR image.leased_until < now() OR image.lease_token = %(token)s)
      AND (image.crashes > 0 OR coalesce(image.leased_until < now(), false)) = %(crashed)s
      AND image.same_as_row_number IS NULL
    ORDER BY image.crashes, image.request_id, image.row_number, image.position
    LIMIT %(limit)s
    FOR UPDATE OF image SKIP LOCKED
)
UPDATE compressed_images AS image
SET attempt = attempt + (lease_token IS DISTINCT FROM %(token)s)::int,
    crashes = crashes + coalesce(leased_until < now() AND lease_token <> %(token)s, false)::int,
    lease_token = %(token)s, leased_until = now() + make_interval(secs => %(lease_seconds)s)
FROM chosen, job_request AS job
WHERE image.image_id = chosen.image_id AND job.request_id = image.request_id
RETURNING image.image_id, image.request_id, image.row_number, image.position, image.source_url, image.attempt,
          image.crashes, image.lease_token, image.serial_number, job.owner, job.options, job.dry_run,
          job.layout ?| ARRAY['preset', 'columns'] AS is_mapped, job.cancelled_at IS NOT NULL AS cancelled;

-- list_known_urls --
-- Of the URLs, by their keys, those that were downloaded and compressed before, as they were the last time.
SELECT wanted.url_key, known.image_id, known.object_key, known.format, known.content_key, known.etag, known.last_modified,
       coalesce(known.validated_url, known.source_url) AS validated_url
FROM unnest(%(url_keys)s::uuid[]) AS wanted (url_key) CROSS JOIN LATERAL (
    SELECT * FROM compressed_images AS image WHERE image.url_key = wanted.url_key ORDER BY created_at DESC LIMIT 1
) AS known;

-- find_known_content --
-- In the order of its index: of a content that a great many have, such as a shop's placeholder, Postgres would rather go
-- through the table until it comes upon one.
SELECT image_id, object_key, format FROM compressed_images
WHERE content_key BETWEEN %(content_key)s AND %(content_key)s ORDER BY content_key LIMIT 1;

-- renew_leases --
UPDATE compressed_images AS image SET leased_until = now() + make_interval(secs => %(lease_seconds)s)
FROM jsonb_to_recordset(%(leases)s) AS held (image_id uuid, lease_token uuid)
WHERE image.image_id = held.image_id AND image.lease_token = held.lease_token;

-- list_unfinished_rows --
-- Of the rows named, those with an image that is not terminal, and the seconds until one may be worked on: NULL where
-- all wait for earlier images with their URL, which rest for `first_rests_seconds` more.
SELECT image.request_id, image.row_number, job.generation, job.owner,
       min(greatest(0, extract(epoch FROM greatest(image.leased_until, image.not_before) - now()))::float)
           FILTER (WHERE image.same_as_row_number IS NULL) AS wait_seconds,
       min(greatest(0, extract(epoch FROM first.not_before - now()))::float) AS first_rests_seconds
FROM compressed_images AS image
JOIN unnest(%(request_ids)s::uuid[], %(row_numbers)s::int[]) AS wanted (request_id, row_number)
  USING (request_id, row_number)
JOIN job_request AS job USING (request_id)
LEFT JOIN compressed_images AS first
  ON (first.request_id, first.row_number, first.position)
   = (image.request_id, image.same_as_row_number, image.same_as_position)
WHERE image.status = 'PENDING' AND job.images_total IS NOT NULL AND job.finalizable_at IS NULL
GROUP BY image.request_id, image.row_number, job.generation, job.owner;

-- release_images --
-- Images to be tried again, each not before its delay; at once when it is only to be told that its job was cancelled.
-- What was not begun has had no attempt.
UPDATE compressed_images AS image
SET lease_token = NULL, leased_until = NULL, attempt = attempt - (NOT r.has_begun)::int,
    not_before = now() + make_interval(secs => CASE WHEN job.cancelled_at IS NULL THEN r.delay_seconds ELSE 0 END)
FROM jsonb_to_recordset(%(released)s)
         AS r (image_id uuid, lease_token uuid, delay_seconds float, has_begun boolean),
     job_request AS job
WHERE image.image_id = r.image_id AND image.lease_token = r.lease_token AND job.request_id = image.request_id;

-- finish_images --
-- The guarded transition: only images that become terminal here, under this lease, move their job's counters.
WITH finished AS (
    SELECT * FROM jsonb_to_recordset(%(finished)s) AS f (
        image_id uuid, lease_token uuid, status text, error_code text, error_message text, image_url text, object_key text,
        format text, outcome text, width int, height int, bytes_before bigint, bytes_after bigint,
        encoder text, encoder_quality int, cpu_ms int, score float8, content text, reused text,
        url_key uuid, content_key uuid, etag text, last_modified text, validated_url text, perceptual_hash bigint,
        human_key text, human_version text, human_url text)
), terminal AS (
    UPDATE compressed_images AS image
    SET status = f.status, error_code = f.error_code, error_message = f.error_message, image_url = f.image_url,
        object_key = f.object_key, format = f.format, outcome = f.outcome, width = f.width, height = f.height,
        bytes_before = f.bytes_before, bytes_after = f.bytes_after, encoder = f.encoder,
        encoder_quality = f.encoder_quality, cpu_ms = f.cpu_ms, score = f.score, content = f.content,
        url_key = f.url_key, content_key = f.content_key, etag = f.etag, last_modified = f.last_modified,
        validated_url = f.validated_url, perceptual_hash = f.perceptual_hash, reused = f.reused,
        human_key = f.human_key, human_version = f.human_version, human_url = f.human_url, lease_token = NULL, leased_until = NULL
    FROM finished AS f
    WHERE image.image_id = f.image_id AND image.status = 'PENDING' AND image.lease_token = f.lease_token
    RETURNING image.image_id, image.request_id, image.status, image.outcome, image.bytes_before, image.bytes_after,
              image.cpu_ms, image.error_code, image.reused
), {count_terminal}

-- reuse_images --
-- The same for images that become what others, their sources, became. A source is kept from being deleted until the
-- commit; one that is gone, or is about to be, leaves its image as it is.
WITH source AS MATERIALIZED (
    SELECT r.image_id AS to_image_id, r.lease_token AS to_lease_token, r.reused AS reused_as, r.url_key AS to_url_key,
           r.content_key AS to_content_key, r.etag AS to_etag, r.last_modified AS to_last_modified,
           r.validated_url AS to_validated_url, r.human_key AS to_human_key, r.human_version AS to_human_version,
           r.human_url AS to_human_url, image.*
    FROM jsonb_to_recordset(%(reused)s) AS r (
        image_id uuid, lease_token uuid, source_id uuid, reused text,
        url_key uuid, content_key uuid, etag text, last_modified text, validated_url text,
        human_key text, human_version text, human_url text)
    JOIN compressed_images AS image ON image.image_id = r.source_id
    WHERE image.status = 'COMPLETED'
    FOR SHARE OF image SKIP LOCKED
), terminal AS (
    UPDATE compressed_images AS image
    SET status = 'COMPLETED', image_url = source.image_url, object_key = source.object_key, format = source.format,
        outcome = source.outcome, width = source.width, height = source.height, bytes_before = source.bytes_before,
        bytes_after = source.bytes_after, encoder = source.encoder, encoder_quality = source.encoder_quality,
        cpu_ms = 0, score = source.score, content = source.content,
        perceptual_hash = source.perceptual_hash, reused = source.reused_as,
        url_key = source.to_url_key, content_key = source.to_content_key, etag = source.to_etag,
        last_modified = source.to_last_modified, validated_url = source.to_validated_url,
        human_key = source.to_human_key, human_version = source.to_human_version, human_url = source.to_human_url,
        lease_token = NULL, leased_until = NULL
    FROM source
    WHERE image.image_id = source.to_image_id AND image.status = 'PENDING' AND image.lease_token = source.to_lease_token
    RETURNING image.image_id, image.request_id, image.status, image.outcome, image.bytes_before, image.bytes_after,
              image.cpu_ms, image.error_code, image.reused
), {count_terminal}

-- finish_repeated_urls --
-- Of the rows named, the images whose URL stands earlier in the sheet become what became of it there, once it has.
WITH {named_images}, waiting AS MATERIALIZED (
    SELECT image.image_id, image.request_id, image.same_as_row_number, image.same_as_position
    FROM compressed_images AS image JOIN named USING (image_id)
    WHERE image.status = 'PENDING' AND image.same_as_row_number IS NOT NULL
), terminal AS (
    UPDATE compressed_images AS image
    SET status = same.status, error_code = same.error_code, error_message = same.error_message,
        image_url = same.image_url, object_key = same.object_key, format = same.format, outcome = same.outcome,
        width = same.width, height = same.height, bytes_before = same.bytes_before, bytes_after = same.bytes_after,
        encoder = same.encoder, encoder_quality = same.encoder_quality, score = same.score, content = same.content,
        perceptual_hash = same.perceptual_hash, reused = same.reused,
        cpu_ms = CASE WHEN same.bytes_after IS NOT NULL THEN 0 END
    FROM waiting CROSS JOIN LATERAL (
        SELECT * FROM compressed_images AS first
        WHERE (first.request_id, first.row_number, first.position)
            = (waiting.request_id, waiting.same_as_row_number, waiting.same_as_position)
          AND first.status <> 'PENDING'
        OFFSET 0 -- keeps the look-up by itself
    ) AS same
    WHERE image.image_id = waiting.image_id AND image.status = 'PENDING'
    RETURNING image.image_id, image.request_id, image.status, image.outcome, image.bytes_before, image.bytes_after,
              image.cpu_ms, image.error_code, image.reused
), {count_terminal}

-- fail_images --
-- Of one row, or of all; an image that is being worked on is left to its worker.
WITH terminal AS (
    UPDATE compressed_images
    SET status = 'FAILED', error_code = %(error_code)s, error_message = %(error_message)s,
        lease_token = NULL, leased_until = NULL
    WHERE request_id = %(request_id)s AND row_number = coalesce(%(row_number)s, row_number) AND status = 'PENDING'
      AND (leased_until IS NULL OR leased_until < now())
    RETURNING image_id, request_id, status, outcome, bytes_before, bytes_after, cpu_ms, error_code, reused
), {count_terminal}

-- named_images --
-- The images of the rows named whose jobs are open. They and the jobs are looked up one by one: joined with what is
-- asked of them, Postgres goes through all that are left of a job for each row, as long as it has no statistics of
-- them.
named AS MATERIALIZED (
    SELECT image.image_id
    FROM unnest(%(request_ids)s::uuid[], %(row_numbers)s::int[]) AS wanted (request_id, row_number)
    CROSS JOIN LATERAL (
        SELECT image_id FROM compressed_images AS of_row
        WHERE of_row.request_id = wanted.request_id AND of_row.row_number = wanted.row_number
        OFFSET 0 -- keeps the look-up by itself
    ) AS image
    WHERE (SELECT job.images_total IS NOT NULL AND job.finalizable_at IS NULL
           FROM job_request AS job WHERE job.request_id = wanted.request_id)
)

-- count_terminal --
-- The jobs are locked after their images, and so only until the commit that follows at once: all workers of a job wait
-- for that lock. And always in the same order, so that two batches over the same jobs cannot deadlock.
-- Returned is what was counted, a row a job, with the failed images by their code.
tally AS (
    SELECT request_id,
           count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
           count(*) FILTER (WHERE status = 'FAILED') AS failed,
           count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged,
           count(reused) AS reused,
           coalesce(sum(bytes_before) FILTER (WHERE status = 'COMPLETED'), 0) AS before,
           coalesce(sum(bytes_after) FILTER (WHERE status = 'COMPLETED'), 0) AS after,
           coalesce(sum(cpu_ms), 0) AS cpu_ms
    FROM terminal GROUP BY request_id
), locked AS (
    SELECT request_id FROM job_request WHERE request_id IN (SELECT request_id FROM tally) ORDER BY request_id FOR UPDATE
), counted AS (
    UPDATE job_request AS job
    SET images_completed = images_completed + tally.completed,
        images_failed = images_failed + tally.failed,
        images_unchanged = images_unchanged + tally.unchanged,
        images_reused = images_reused + tally.reused,
        bytes_before = job.bytes_before + tally.before,
        bytes_after = job.bytes_after + tally.after,
        event_count = event_count + tally.completed + tally.failed,
        completion_percentage =
            least(99, (images_completed + images_failed + tally.completed + tally.failed - images_kept) * 100
                      / (images_total - images_kept)),
        finalizable_at = coalesce(finalizable_at, CASE
            WHEN images_completed + images_failed + tally.completed + tally.failed = images_total THEN now() END),
        updated_at = now()
    FROM tally JOIN locked USING (request_id) WHERE job.request_id = tally.request_id
    RETURNING tally.*, event_count, dry_run
), {number_events}
SELECT counted.*, (
    SELECT jsonb_object_agg(error_code, images)
    FROM (SELECT error_code, count(*) AS images FROM terminal
          WHERE terminal.request_id = counted.request_id AND status = 'FAILED' GROUP BY error_code) AS by_code) AS failures
FROM counted;

-- number_events --
-- The images of `terminal` have the last numbers of those that `counted` says were given; 500 at most go into a row.
numbered AS (
    INSERT INTO job_event (request_id, last_number, image_ids)
    SELECT request_id, max(number), array_agg(image_id)
    FROM (SELECT request_id, image_id, event_count + 1 - row_number() OVER (PARTITION BY request_id) AS number
          FROM terminal JOIN counted USING (request_id)) AS given
    GROUP BY request_id, number / 500
)

-- list_named_objects --
-- Of the objects named, those that are an image's: the one that each was made for, or others that share it.
-- Of a human URL's, the one version that its image made.
-- Each is looked up by itself: in place of EXISTS, Postgres may gather all images of the job, or of the table, to ask them.
SELECT listed.object_key, listed.version
FROM jsonb_to_recordset(%(objects)s) AS listed (row_number int, position int, object_key text, version text)
CROSS JOIN LATERAL (
    SELECT true FROM compressed_images AS image
    WHERE image.request_id = %(request_id)s AND image.row_number = listed.row_number
      AND image.position = listed.position AND image.object_key = listed.object_key
    UNION ALL
    SELECT true FROM compressed_images AS image
    WHERE image.object_key = listed.object_key AND (image.reused IS NOT NULL OR image.same_as_row_number IS NOT NULL)
    UNION ALL
    SELECT true FROM compressed_images AS image
    WHERE image.human_key = listed.object_key AND image.human_version = listed.version
    LIMIT 1
) AS image;

-- has_strays --
-- Only an image whose lease ended otherwise than with its outcome can have left an object behind.
SELECT EXISTS (
    SELECT FROM compressed_images
    WHERE request_id = %(request_id)s AND (attempt > 1 OR (attempt = 1 AND error_code = ANY(%(error_codes)s)))
) AS found;

-- list_failed_rows --
-- Of the rows named, those that could not be used, or an image of which has failed.
SELECT row_number FROM jsonb_to_recordset(%(rows)s) AS named (row_number int)
WHERE EXISTS (SELECT FROM row_error AS failed
              WHERE failed.request_id = %(request_id)s AND failed.row_number = named.row_number)
   OR EXISTS (SELECT FROM compressed_images AS image
              WHERE image.request_id = %(request_id)s AND image.row_number = named.row_number
                AND image.status = 'FAILED');

-- list_images_of_rows --
SELECT image.row_number, image.position, image.source_url, image.status, image.serial_number, image.human_key
FROM jsonb_to_recordset(%(rows)s) AS named (row_number int) CROSS JOIN LATERAL (
    SELECT * FROM compressed_images AS of_row
    WHERE of_row.request_id = %(request_id)s AND of_row.row_number = named.row_number
    OFFSET 0 -- keeps the look-up by itself
) AS image;

-- delete_images --
-- At the places named; what is returned is what their job has counted of them.
WITH gone AS (
    DELETE FROM compressed_images AS image
    USING jsonb_to_recordset(%(places)s) AS place (row_number int, position int)
    WHERE image.request_id = %(request_id)s
      AND image.row_number = place.row_number AND image.position = place.position
    RETURNING image.status, image.outcome, image.reused, image.bytes_before, image.bytes_after
)
SELECT count(*) AS images_gone, count(*) FILTER (WHERE status = 'COMPLETED') AS completed_gone,
       count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged_gone, count(reused) AS reused_gone,
       coalesce(sum(bytes_before), 0) AS bytes_before_gone, coalesce(sum(bytes_after), 0) AS bytes_after_gone
FROM gone;

-- put_images --
-- New ones, and of those that are kept what their row says of itself.
INSERT INTO compressed_images (request_id, row_number, position, serial_number, product_name, source_url)
SELECT %(request_id)s, row_number, position, serial_number, product_name, source_url
FROM jsonb_to_recordset(%(images)s)
         AS image (row_number int, position int, serial_number text, product_name text, source_url text)
ON CONFLICT (request_id, row_number, position)
DO UPDATE SET serial_number = EXCLUDED.serial_number, product_name = EXCLUDED.product_name;

-- delete_row_errors --
DELETE FROM row_error USING jsonb_to_recordset(%(rows)s) AS named (row_number int)
WHERE row_error.request_id = %(request_id)s AND row_error.row_number = named.row_number;

-- put_row_errors --
INSERT INTO row_error (request_id, row_number, line_number, error_message)
SELECT %(request_id)s, row_number, line_number, error_message
FROM jsonb_to_recordset(%(errors)s) AS failed (row_number int, line_number int, error_message text);

-- retry_images --
UPDATE compressed_images
SET status = 'PENDING', error_code = NULL, error_message = NULL, attempt = 0, crashes = 0, not_before = now()
WHERE request_id = %(request_id)s AND status = 'FAILED';

-- list_images --
-- Keyset paging over the unique index, or that of the status asked for; NULL for all.
SELECT {image_columns} FROM compressed_images
WHERE request_id = %(request_id)s AND (row_number, position) > (%(after_row)s, %(after_position)s)
  AND (%(status)s IS NULL OR status = %(status)s)
ORDER BY row_number, position LIMIT %(limit)s;

-- image_columns --
-- An image as its owner reads it.
image_id, row_number, position, serial_number, product_name, source_url, image_url, status, error_code, error_message,
format, outcome, width, height, bytes_before, bytes_after, encoder, encoder_quality, cpu_ms, score, content, reused, human_url,
same_as_row_number, same_as_position

-- list_events --
-- The images with the next numbers up to one of them, each as it is now, but for those that are gone.
SELECT given.number, image.*
FROM (
    SELECT listed.image_id, event.last_number - cardinality(event.image_ids) + listed.place AS number
    FROM job_event AS event CROSS JOIN LATERAL unnest(event.image_ids) WITH ORDINALITY AS listed (image_id, place)
    WHERE event.request_id = %(request_id)s
      AND event.last_number > %(after)s AND event.last_number < %(until)s + 500
) AS given CROSS JOIN LATERAL (
    SELECT {image_columns} FROM compressed_images AS one WHERE one.image_id = given.image_id
    OFFSET 0 -- keeps the look-up by itself
) AS image
WHERE given.number > %(after)s AND given.number <= %(until)s
ORDER BY given.number LIMIT %(limit)s;

-- add_missing_events --
-- Of a job that is locked: all of its images, of which some became terminal when no events were kept.
WITH terminal AS (
    SELECT image_id, request_id FROM compressed_images WHERE request_id = %(request_id)s AND status <> 'PENDING'
), counted AS (
    UPDATE job_request SET event_count = event_count + (SELECT count(*) FROM terminal)
    WHERE request_id = %(request_id)s RETURNING request_id, event_count
), {number_events}
SELECT * FROM counted;

-- list_expired_leases --
-- Found first, then told apart: else Postgres may go through all images in the order of their rows to do both at once.
SELECT DISTINCT image.request_id, image.row_number, job.generation, job.owner
FROM (
    SELECT request_id, row_number FROM compressed_images
    WHERE lease_token IS NOT NULL AND leased_until < now() ORDER BY leased_until LIMIT %(limit)s
) AS image JOIN job_request AS job USING (request_id);

-- clear_expired_leases --
UPDATE compressed_images AS image SET lease_token = NULL, leased_until = NULL, crashes = crashes + 1
FROM jsonb_to_recordset(%(rung)s) AS rung (request_id uuid, row_number int)
WHERE image.request_id = rung.request_id AND image.row_number = rung.row_number
  AND image.lease_token IS NOT NULL AND image.leased_until < now();
