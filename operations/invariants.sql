-- What holds at every moment on every stack, as queries that find what violates it: request_id and detail.
--
--     psql -e -f operations/invariants.sql <database URL>      all of them
--     python -m operations.verify                              these, and those that need S3
--
-- What a CHECK refuses (a finished image with a lease, 100 % on an open job, an attempt recorded twice, …) is not here.
-- `SET imagejobs.stuck_after_minutes = …` changes how long work may stand before it counts as stuck (10).

-- job_counters --
-- A job's counters and bytes are not those of its finished images.
SELECT job.request_id,
       format('completed, failed, unchanged, reused, bytes before and after: the job says %s, %s, %s, %s, %s, %s; '
              'its images %s, %s, %s, %s, %s, %s',
              job.images_completed, job.images_failed, job.images_unchanged, job.images_reused, job.bytes_before, job.bytes_after,
              coalesce(image.completed, 0), coalesce(image.failed, 0), coalesce(image.unchanged, 0),
              coalesce(image.reused, 0), coalesce(image.before, 0), coalesce(image.after, 0)) AS detail
FROM job_request AS job
LEFT JOIN (
    SELECT request_id, count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
           count(*) FILTER (WHERE status = 'FAILED') AS failed,
           count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged, count(reused) AS reused,
           sum(bytes_before) AS before, sum(bytes_after) AS after
    FROM compressed_images GROUP BY request_id
) AS image USING (request_id)
WHERE (job.images_completed, job.images_failed, job.images_unchanged, job.images_reused, job.bytes_before,
       job.bytes_after)
   <> (coalesce(image.completed, 0), coalesce(image.failed, 0), coalesce(image.unchanged, 0), coalesce(image.reused, 0),
       coalesce(image.before, 0), coalesce(image.after, 0));

-- job_totals --
-- A job's totals are not those of its staged images and rows. Of a mapped sheet, rows may name no image and be no
-- failure.
SELECT job.request_id,
       format('the job says %s images and %s rows, %s of them unreadable, %s staged; staged are %s images of %s rows',
              job.images_total, job.rows_total, job.rows_failed, job.rows_staged,
              coalesce(staged.images, 0), coalesce(staged.rows, 0)) AS detail
FROM job_request AS job
LEFT JOIN (
    SELECT request_id, count(*) AS images, count(DISTINCT row_number) AS rows FROM compressed_images GROUP BY request_id
) AS staged USING (request_id)
WHERE job.rows_total IS NOT NULL
  AND ((job.images_total, job.rows_staged) IS DISTINCT FROM (coalesce(staged.images, 0), job.rows_total)
       OR job.rows_total < coalesce(staged.rows, 0) + job.rows_failed
       OR job.rows_total > coalesce(staged.rows, 0) + job.rows_failed AND NOT job.layout ?| ARRAY['preset', 'columns']);

-- row_errors --
-- The rows that a job counts as failed are not those that say why. Jobs without `sheet_found` were staged before they
-- did.
SELECT job.request_id, format('the job says %s failed rows, %s say why', job.rows_failed, coalesce(said.rows, 0)) AS detail
FROM job_request AS job
LEFT JOIN (SELECT request_id, count(*) AS rows FROM row_error GROUP BY request_id) AS said USING (request_id)
WHERE job.sheet_found IS NOT NULL AND job.rows_failed <> coalesce(said.rows, 0);

-- job_events --
-- A job's events do not number its images from 1 on without a gap.
SELECT job.request_id,
       format('the job says %s; there are %s, the last is number %s', job.event_count, event.images, event.last) AS detail
FROM job_request AS job
LEFT JOIN LATERAL (
    SELECT coalesce(sum(cardinality(image_ids)), 0) AS images, coalesce(max(last_number), 0) AS last
    FROM job_event WHERE request_id = job.request_id
) AS event ON true
WHERE (event.images, event.last) <> (job.event_count, job.event_count);

-- job_done --
-- A job counts as done while an image of it is not, or the other way round.
SELECT request_id,
       format('finalizable at %s, images completed %s, failed %s, of %s',
              coalesce(finalizable_at::text, 'no time'), images_completed, images_failed, images_total) AS detail
FROM job_request
WHERE (finalizable_at IS NOT NULL) <> coalesce(images_completed + images_failed = images_total, false);

-- job_percentage --
-- A job's completion_percentage is not what its counters come to.
SELECT request_id, format('%s %% and not %s %%', completion_percentage, expected) AS detail
FROM (
    SELECT request_id, completion_percentage,
           CASE WHEN status IN ('COMPLETED', 'FAILED') THEN 100
                ELSE least(99, coalesce((images_completed + images_failed - images_kept) * 100
                                        / nullif(images_total - images_kept, 0), 0)) END AS expected
    FROM job_request
) AS job
WHERE completion_percentage <> expected;

-- job_result --
-- A job has ended without its finished CSV, although its sheet was read.
SELECT request_id, format('%s: %s', status, coalesce(error_message, 'no error')) AS detail
FROM job_request
WHERE status IN ('COMPLETED', 'FAILED') AND rows_total > 0 AND (result_key IS NULL OR result_version IS NULL);

-- generations_closed --
-- A generation that has ended was not closed exactly once, or one that has not ended was closed.
SELECT request_id,
       format(CASE WHEN outcome.status IS NULL THEN 'generation %s was never closed'
                   ELSE 'generation %s was closed, and has not ended' END, generation) AS detail
FROM (
    SELECT request_id, generate_series(1, generation - (status IN ('PENDING', 'PROCESSING'))::int) AS generation
    FROM job_request
) AS ended
FULL JOIN job_outcome AS outcome USING (request_id, generation)
WHERE ended.request_id IS NULL OR outcome.request_id IS NULL;

-- reused_images --
-- An image says of what it shares with another one something else than that one does.
SELECT image.request_id, format('row %s, position %s and the one that %s was made for differ', image.row_number, image.position,
                                image.object_key) AS detail
FROM compressed_images AS image JOIN compressed_images AS source USING (object_key)
WHERE image.reused IS NOT NULL AND source.reused IS NULL AND source.same_as_row_number IS NULL
  AND (image.image_url, image.format, image.outcome, image.width, image.height, image.bytes_before, image.bytes_after)
   <> (source.image_url, source.format, source.outcome, source.width, source.height, source.bytes_before,
       source.bytes_after);

-- reused_credited --
-- A job that has ended has not given back what it reused.
SELECT request_id, format('%s reused, %s given back', images_reused, images_credited) AS detail
FROM job_request WHERE status IN ('COMPLETED', 'FAILED') AND images_credited <> images_reused;

-- dry_runs --
-- A dry run has compressed an image or ended without its summary, or another job has only looked at an image.
SELECT job.request_id, format('%s images with the wrong outcome; summary: %s', count(image.image_id),
                              CASE WHEN job.preflight IS NULL THEN 'none' ELSE 'there' END) AS detail
FROM job_request AS job
LEFT JOIN compressed_images AS image
  ON image.request_id = job.request_id AND image.status = 'COMPLETED' AND (image.outcome = 'checked') <> job.dry_run
GROUP BY job.request_id
HAVING count(image.image_id) > 0
    OR (job.dry_run AND job.status IN ('COMPLETED', 'FAILED') AND (job.preflight IS NULL) <> (job.result_key IS NULL));

-- last_outcome --
-- An ended job says something else than the outcome of its last generation.
SELECT request_id,
       format('the job says %s (%s), its outcome %s (%s)',
              job.status, job.error_message, outcome.status, outcome.error_message) AS detail
FROM job_request AS job JOIN job_outcome AS outcome USING (request_id, generation)
WHERE job.status IN ('COMPLETED', 'FAILED')
  AND (job.status, job.error_message) IS DISTINCT FROM (outcome.status, outcome.error_message);

-- webhook_events --
-- A webhook was sent under an id that no closed generation of its job has.
SELECT delivery.request_id, format('attempt %s of %s', delivery.attempt, delivery.event_id) AS detail
FROM webhook_delivery AS delivery
WHERE NOT EXISTS (
    SELECT FROM job_outcome AS outcome
    WHERE outcome.request_id = delivery.request_id
      AND format('evt_%s-%s', outcome.request_id, outcome.generation) = delivery.event_id);

-- webhook_attempts --
-- The attempts at a webhook have gaps.
SELECT request_id, format('%s: %s attempts, the last is number %s', event_id, count(*), max(attempt)) AS detail
FROM webhook_delivery
GROUP BY request_id, event_id
HAVING count(*) <> max(attempt);

-- webhook_end --
-- A job is settled, and the last attempt at its webhook is not a final one.
SELECT job.request_id, coalesce(format('attempt %s: %s', last.attempt, last.outcome), 'no attempt') AS detail
FROM job_request AS job
LEFT JOIN LATERAL (
    SELECT attempt, outcome FROM webhook_delivery
    WHERE event_id = format('evt_%s-%s', job.request_id, job.generation) ORDER BY attempt DESC LIMIT 1
) AS last ON true
WHERE job.settled_at IS NOT NULL AND job.webhook_url IS NOT NULL
  AND coalesce(last.outcome, 'retry') = 'retry';

-- stuck --
-- Work stands still: a job done and not closed, closed and not settled, or with work left that nobody has begun.
-- While anybody works at all, a job may be waiting its turn; a CSV that never arrived is waited for two hours.
WITH long_ago AS (
    SELECT now() - interval '1 minute'
           * coalesce(nullif(current_setting('imagejobs.stuck_after_minutes', true), '')::float, 10) AS moment
), busy AS (
    SELECT EXISTS (SELECT FROM compressed_images WHERE leased_until > now())
        OR EXISTS (SELECT FROM job_request WHERE fan_out_leased_until > now()) AS anybody
)
SELECT request_id, format('done since %s, not closed', finalizable_at) AS detail
FROM job_request, long_ago
WHERE status IN ('PENDING', 'PROCESSING') AND finalizable_at < long_ago.moment
UNION ALL
SELECT request_id, format('closed, not settled, no webhook to wait for since %s', greatest(updated_at, last.attempted_at))
FROM long_ago, job_request AS job
LEFT JOIN LATERAL (
    SELECT attempt, attempted_at, outcome FROM webhook_delivery
    WHERE event_id = format('evt_%s-%s', job.request_id, job.generation) ORDER BY attempt DESC LIMIT 1
) AS last ON true
WHERE job.status IN ('COMPLETED', 'FAILED') AND job.settled_at IS NULL
  AND greatest(job.updated_at, last.attempted_at) < long_ago.moment
  -- The next attempt after one that is to be repeated comes within 26.4 hours.
  AND (last.outcome IS DISTINCT FROM 'retry' OR last.attempt < job.first_attempt
       OR last.attempted_at < long_ago.moment - interval '26.4 hours')
UNION ALL
SELECT job.request_id,
       format('%s, %s of %s rows sent, still since %s', job.status, job.rows_sent, job.rows_total, moved.moment)
FROM long_ago, busy, job_request AS job
CROSS JOIN LATERAL (
    SELECT greatest(job.updated_at, job.fan_out_leased_until, max(image.leased_until), max(image.not_before)) AS moment
    FROM compressed_images AS image WHERE image.request_id = job.request_id AND image.status = 'PENDING'
) AS moved
WHERE job.finalizable_at IS NULL AND NOT busy.anybody
  AND moved.moment < long_ago.moment - CASE WHEN job.source_version IS NULL THEN interval '2 hours'
                                            ELSE interval '0' END;
