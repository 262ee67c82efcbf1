-- What of a job is sent and not done is counted again and again: without this, over everything that is done.
CREATE INDEX compressed_images_pending ON compressed_images (request_id, row_number) WHERE status = 'PENDING';
