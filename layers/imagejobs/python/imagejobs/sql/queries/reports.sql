-- record_report --
-- The first one of a generation stays; a job that was retried meanwhile gets another.
UPDATE job_request SET report_key = %(report_key)s, report_version = %(report_version)s
WHERE request_id = %(request_id)s AND generation = %(generation)s
  AND status IN ('COMPLETED', 'FAILED') AND report_key IS NULL;

-- report_formats --
-- A repeated URL counts each time, as it does in the job's totals.
SELECT format, count(*) AS images, count(*) FILTER (WHERE outcome = 'unchanged') AS images_unchanged,
       sum(bytes_before)::bigint AS bytes_before, sum(bytes_after)::bigint AS bytes_after
FROM compressed_images WHERE request_id = %(request_id)s AND status = 'COMPLETED'
GROUP BY format ORDER BY images DESC, format;

-- report_failures --
-- Each code with the number of its images and the first of them.
SELECT image.row_number, image.position, image.product_name, image.source_url, image.error_code, image.error_message,
       first.images
FROM (
    SELECT image_id, count(*) OVER (PARTITION BY error_code) AS images,
           row_number() OVER (PARTITION BY error_code ORDER BY row_number, position) AS rank
    FROM compressed_images WHERE request_id = %(request_id)s AND status = 'FAILED'
) AS first JOIN compressed_images AS image USING (image_id)
WHERE first.rank <= %(limit)s ORDER BY first.images DESC, image.error_code, first.rank;

-- report_row_errors --
SELECT row_number, error_message, count(*) OVER () AS rows FROM row_error
WHERE request_id = %(request_id)s ORDER BY row_number LIMIT %(limit)s;

-- report_most_saved --
SELECT {report_picture} FROM compressed_images
WHERE {report_pictures} AND outcome <> 'unchanged'
ORDER BY bytes_before - bytes_after DESC, row_number, position LIMIT %(limit)s;

-- report_least_saved --
-- The largest of those that kept the largest share of their bytes.
SELECT {report_picture} FROM compressed_images
WHERE {report_pictures}
ORDER BY bytes_after * 100 / bytes_before DESC, bytes_after DESC, row_number, position LIMIT %(limit)s;

-- report_lowest_scores --
SELECT {report_picture} FROM compressed_images
WHERE {report_pictures} AND score < 100
ORDER BY score, row_number, position LIMIT %(limit)s;

-- report_largest --
SELECT {report_picture} FROM compressed_images
WHERE {report_pictures}
ORDER BY bytes_after DESC, row_number, position LIMIT %(limit)s;

-- report_low_resolution --
-- The smallest of those with a side below the limit, with the number of all; what the job's own limits made small, or
-- may have made small, is left out.
SELECT {report_picture}, count(*) OVER () AS images,
       count(*) FILTER (WHERE least(width, height) < %(refused_side)s) OVER () AS images_refused
FROM compressed_images
WHERE {report_pictures} AND least(width, height) < %(small_side)s
  AND width < coalesce(%(max_width)s::int, width + 1) AND height < coalesce(%(max_height)s::int, height + 1)
ORDER BY least(width, height), row_number, position LIMIT %(limit)s;

-- report_hashes --
SELECT perceptual_hash, width, height, row_number, position FROM compressed_images
WHERE {report_pictures} AND perceptual_hash <> 0
ORDER BY row_number, position LIMIT %(limit)s;

-- report_places --
SELECT {report_picture} FROM compressed_images
JOIN jsonb_to_recordset(%(places)s) AS listed (row_number int, position int) USING (row_number, position)
WHERE request_id = %(request_id)s ORDER BY row_number, position;

-- report_picture --
request_id, row_number, position, product_name, source_url, image_url, object_key, format, outcome, width, height, bytes_before,
       bytes_after, score

-- report_pictures --
-- Each URL of a job once.
request_id = %(request_id)s AND status = 'COMPLETED' AND same_as_row_number IS NULL
