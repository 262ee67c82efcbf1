-- A job is one version of one CSV in S3. Its counters move only with guarded transitions of its images.
CREATE TABLE job_request (
    request_id            uuid PRIMARY KEY,
    status                text NOT NULL DEFAULT 'PENDING'
                          CHECK (status IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED')),
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    completion_percentage int NOT NULL DEFAULT 0 CHECK (completion_percentage BETWEEN 0 AND 100),
    error_message         text,

    owner                 text NOT NULL,
    source_key            text NOT NULL,
    source_version        text,                       -- NULL until the CSV has arrived in the bucket
    options               jsonb NOT NULL DEFAULT '{}',
    webhook_url           text,
    generation            int NOT NULL DEFAULT 1,     -- of the outcome: one finalization and one event id each

    rows_staged           int NOT NULL DEFAULT 0,     -- the fan-out's cursor into the CSV
    rows_sent             int NOT NULL DEFAULT 0,     -- the fan-out's cursor into the queue
    fan_out_token         uuid,                       -- who fans out, and until when
    fan_out_leased_until  timestamptz,
    fan_out_attempt       int NOT NULL DEFAULT 0,     -- leases granted since it last got on

    rows_total            int,                        -- NULL until every row is staged
    rows_failed           int NOT NULL DEFAULT 0,     -- rows that could not be read
    images_total          int,                        -- NULL until every row is staged
    images_completed      int NOT NULL DEFAULT 0,
    images_failed         int NOT NULL DEFAULT 0,
    bytes_before          bigint NOT NULL DEFAULT 0,  -- of completed images
    bytes_after           bigint NOT NULL DEFAULT 0,

    finalizable_at        timestamptz,                -- all work is done, the finalizer may run
    result_key            text,
    result_version        text,
    finalizer_run         int NOT NULL DEFAULT 1,     -- executions of this generation that were needed
    settled_at            timestamptz,                -- closed, and its webhook has come to its end
    swept_at              timestamptz,                -- when the sweeper last looked after its finalizer

    UNIQUE (source_key, source_version),
    CHECK (images_completed + images_failed <= coalesce(images_total, 0)),
    CHECK (rows_sent <= rows_staged),
    CHECK (status NOT IN ('COMPLETED', 'FAILED') OR finalizable_at IS NOT NULL),
    CHECK (completion_percentage < 100 OR status IN ('COMPLETED', 'FAILED')),
    CHECK ((fan_out_token IS NULL) = (fan_out_leased_until IS NULL)),
    CHECK (settled_at IS NULL OR status IN ('COMPLETED', 'FAILED'))
);

-- What the sweeper looks through: jobs with something left to do.
CREATE INDEX job_request_unsettled ON job_request (updated_at) WHERE settled_at IS NULL;

-- An image is (request_id, row_number, position); image_id stands for the three.
CREATE TABLE compressed_images (
    image_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    request_id    uuid NOT NULL REFERENCES job_request (request_id) ON DELETE CASCADE,
    image_url     text,                               -- where the compressed image is served; NULL until it is
    created_at    timestamptz NOT NULL DEFAULT now(),

    row_number    int NOT NULL CHECK (row_number > 0),
    position      int NOT NULL CHECK (position > 0),
    product_name  text NOT NULL,
    source_url    text NOT NULL,

    status        text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'COMPLETED', 'FAILED')),
    error_code    text,
    error_message text,
    object_key    text,
    format        text,
    outcome       text CHECK (outcome IN ('smaller', 'unchanged')),
    width         int,
    height        int,
    bytes_before  bigint,
    bytes_after   bigint,

    attempt       int NOT NULL DEFAULT 0,             -- leases granted so far
    crashes       int NOT NULL DEFAULT 0,             -- of them, those that ran out without a word
    not_before    timestamptz NOT NULL DEFAULT now(), -- no lease is granted earlier
    lease_token   uuid,                               -- who works on it, and until when
    leased_until  timestamptz,

    UNIQUE (request_id, row_number, position),
    CHECK (bytes_after <= bytes_before),
    CHECK (num_nonnulls(image_url, object_key, format, outcome, width, height, bytes_before, bytes_after)
           = CASE status WHEN 'COMPLETED' THEN 8 ELSE 0 END),
    CHECK ((status = 'FAILED') = (error_code IS NOT NULL AND error_message IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (leased_until IS NULL)),
    CHECK (status = 'PENDING' OR lease_token IS NULL)
);

-- What the sweeper looks through: leases that may have run out.
CREATE INDEX compressed_images_leased ON compressed_images (leased_until) WHERE lease_token IS NOT NULL;

-- One row an attempt.
CREATE TABLE webhook_delivery (
    delivery_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id    uuid NOT NULL REFERENCES job_request (request_id) ON DELETE CASCADE,
    event_id      text NOT NULL,
    attempt       int NOT NULL CHECK (attempt > 0),
    attempted_at  timestamptz NOT NULL DEFAULT now(),
    status_code   int,                                -- NULL when nobody answered
    error_message text,
    outcome       text NOT NULL CHECK (outcome IN ('delivered', 'retry', 'gone', 'exhausted')),
    UNIQUE (event_id, attempt)
);
CREATE INDEX webhook_delivery_request ON webhook_delivery (request_id);
