-- reserve_images --
-- All of them or none: no row comes back when the day's quota does not hold them. Those that are only looked at have as
-- large a one of their own.
INSERT INTO caller_usage (owner, day, images, images_checked)
SELECT %(owner)s, (now() AT TIME ZONE 'UTC')::date,
       CASE WHEN %(dry_run)s THEN 0 ELSE %(images)s END, CASE WHEN %(dry_run)s THEN %(images)s ELSE 0 END
WHERE %(images)s <= %(daily_images)s
ON CONFLICT (owner, day) DO UPDATE
SET images = caller_usage.images + excluded.images,
    images_checked = caller_usage.images_checked + excluded.images_checked
WHERE CASE WHEN %(dry_run)s THEN caller_usage.images_checked + excluded.images_checked
           ELSE caller_usage.images + excluded.images END <= %(daily_images)s
RETURNING owner;

-- seconds_to_next_day --
SELECT extract(epoch FROM date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day' - (now() AT TIME ZONE 'UTC'))::float
       AS seconds;

-- count_request --
INSERT INTO caller_rate (owner, minute, requests) VALUES (%(owner)s, date_trunc('minute', now()), 1)
ON CONFLICT (owner) DO UPDATE
SET requests = CASE WHEN caller_rate.minute = excluded.minute THEN caller_rate.requests + 1 ELSE 1 END,
    minute = excluded.minute
RETURNING requests, extract(epoch FROM minute + interval '1 minute' - now())::float AS seconds_left;
