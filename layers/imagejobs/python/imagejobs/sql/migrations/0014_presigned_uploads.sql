-- Of a sheet that goes past the API: what its caller may have in a day, for the fan-out, which counts its images. NULL
-- when the API has counted them.
ALTER TABLE job_request ADD COLUMN daily_images bigint CHECK (daily_images >= 0);
