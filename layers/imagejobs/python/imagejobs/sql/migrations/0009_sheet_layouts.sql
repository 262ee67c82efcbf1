-- What a job's CSV looks like, what was found in it, and why rows of it cannot be used.
ALTER TABLE job_request
    ADD COLUMN layout      jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN sheet_found jsonb;                      -- set with the totals; NULL before, and of jobs older than this
ALTER TABLE compressed_images
    ADD COLUMN serial_number text;                     -- the id's cell; NULL of images older than this
CREATE TABLE row_error (
    request_id    uuid NOT NULL REFERENCES job_request (request_id) ON DELETE CASCADE,
    row_number    int NOT NULL CHECK (row_number > 0),
    line_number   int NOT NULL CHECK (line_number > row_number),  -- the header has a line, too
    error_message text NOT NULL,
    PRIMARY KEY (request_id, row_number)
);
