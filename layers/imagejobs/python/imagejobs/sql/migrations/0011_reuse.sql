-- By what an image that was downloaded and compressed is known again: the first 128 bits of SHA-256 over its caller,
-- its coding options and its URL, and over the same with its bytes for the URL; and by what its origin is asked whether
-- it has changed. An image that its origin calls unchanged has none of it: the one that it was taken from stays the
-- known one.
ALTER TABLE compressed_images
    ADD COLUMN url_key       uuid,
    ADD COLUMN content_key   uuid,
    ADD COLUMN etag          text,
    ADD COLUMN last_modified text,  -- where there is no etag
    ADD COLUMN validated_url text,  -- whose they are, where redirects led from source_url to another
    ADD COLUMN reused        text CHECK (reused IN ('not_modified', 'same_content')),
    ADD CONSTRAINT compressed_images_known_check
        CHECK (status = 'COMPLETED'
               OR num_nonnulls(url_key, content_key, etag, last_modified, validated_url, reused) = 0),
    ADD CONSTRAINT compressed_images_keys_check CHECK ((url_key IS NULL) = (content_key IS NULL)),
    ADD CONSTRAINT compressed_images_validators_check
        CHECK (url_key IS NOT NULL OR num_nonnulls(etag, last_modified, validated_url) = 0);
CREATE INDEX compressed_images_url_key ON compressed_images (url_key, created_at) WHERE url_key IS NOT NULL;
CREATE INDEX compressed_images_content_key ON compressed_images (content_key) WHERE content_key IS NOT NULL;
-- What others than the image that it was made for may name, asked before an object is deleted.
CREATE INDEX compressed_images_shared_object ON compressed_images (object_key)
    WHERE reused IS NOT NULL OR same_as_row_number IS NOT NULL;

-- Images that were reused are given back to their caller's day, once, when the job is closed.
ALTER TABLE job_request
    ADD COLUMN images_reused   int NOT NULL DEFAULT 0,  -- of images_completed
    ADD COLUMN images_credited int NOT NULL DEFAULT 0,  -- of images_reused, those that were given back
    ADD COLUMN counted_on      date DEFAULT (now() AT TIME ZONE 'UTC')::date,  -- on which the images count; NULL for none
    ADD CONSTRAINT job_request_reused_check CHECK (images_reused BETWEEN 0 AND images_completed),
    ADD CONSTRAINT job_request_credited_check CHECK (images_credited BETWEEN 0 AND images_reused);
