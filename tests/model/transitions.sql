-- What no single statement may do, whoever runs it: triggers that write down what was done against it.
--
-- The time of all statements is this schema's, which the search path names before Postgres' own. `model.actor` is who
-- runs the transaction.
CREATE SCHEMA model;

CREATE TABLE model.clock (moment timestamptz NOT NULL);
INSERT INTO model.clock VALUES ('2030-01-01 12:00Z');
CREATE FUNCTION model.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT moment FROM model.clock';

ALTER TABLE job_request ALTER created_at SET DEFAULT model.now(), ALTER updated_at SET DEFAULT model.now();
ALTER TABLE compressed_images ALTER created_at SET DEFAULT model.now(), ALTER not_before SET DEFAULT model.now();
ALTER TABLE webhook_delivery ALTER attempted_at SET DEFAULT model.now();
ALTER TABLE job_outcome ALTER closed_at SET DEFAULT model.now();

CREATE TABLE model.violation (request_id uuid NOT NULL, what text NOT NULL);
CREATE TABLE model.lease (token uuid PRIMARY KEY, actor text NOT NULL, was_cancelled bool NOT NULL);

CREATE FUNCTION model.actor() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('model.actor', true) $$;

CREATE FUNCTION model.check_image() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    job job_request;
    lease model.lease;
BEGIN
    SELECT * INTO job FROM job_request WHERE request_id = NEW.request_id;
    SELECT * INTO lease FROM model.lease WHERE token = OLD.lease_token;
    INSERT INTO model.violation SELECT NEW.request_id, what FROM (VALUES
        (format('%s took an image from its owner, %s', model.actor(), lease.actor),
         OLD.leased_until >= model.now() AND NEW.lease_token IS DISTINCT FROM OLD.lease_token
         AND lease.actor <> model.actor()),
        ('an image was completed that had been begun after its job was cancelled',
         OLD.status = 'PENDING' AND NEW.status = 'COMPLETED' AND lease.was_cancelled),
        ('a final outcome was changed',
         OLD.status <> 'PENDING'
         AND (OLD.status, OLD.error_code, OLD.error_message, OLD.object_key, OLD.image_url, OLD.bytes_after)
             IS DISTINCT FROM
             (NEW.status, NEW.error_code, NEW.error_message, NEW.object_key, NEW.image_url, NEW.bytes_after)
         AND NOT (OLD.status = 'FAILED' AND NEW.status = 'PENDING' AND job.status IN ('COMPLETED', 'FAILED')))
    ) AS rule (what, is_broken) WHERE is_broken;
    INSERT INTO model.lease SELECT NEW.lease_token, model.actor(), job.cancelled_at IS NOT NULL
    WHERE NEW.lease_token IS NOT NULL ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER check_image AFTER UPDATE ON compressed_images FOR EACH ROW EXECUTE FUNCTION model.check_image();

CREATE FUNCTION model.check_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    goes_on bool := NEW.generation = OLD.generation;
    had_ended bool := OLD.status IN ('COMPLETED', 'FAILED');
    lease model.lease;
BEGIN
    SELECT * INTO lease FROM model.lease WHERE token = OLD.fan_out_token;
    -- A cancellation ends a fan-out, whoever is at it; and so does the next generation, which has a cursor of its own.
    INSERT INTO model.violation SELECT NEW.request_id, what FROM (VALUES
        (format('%s took the fan-out from its owner, %s', model.actor(), lease.actor),
         goes_on AND OLD.fan_out_leased_until >= model.now() AND NEW.fan_out_token IS DISTINCT FROM OLD.fan_out_token
         AND lease.actor <> model.actor() AND model.actor() NOT LIKE 'cancel-%'),
        ('the percentage fell', goes_on AND NEW.completion_percentage < OLD.completion_percentage),
        ('a generation was skipped, or begun before the last had ended',
         NOT goes_on AND NOT (had_ended AND NEW.generation = OLD.generation + 1)),
        ('an ended job was changed',
         goes_on AND had_ended
         AND (OLD.status, OLD.error_message, OLD.result_key, OLD.result_version)
             IS DISTINCT FROM (NEW.status, NEW.error_message, NEW.result_key, NEW.result_version)),
        ('finished work was begun again',
         goes_on AND OLD.finalizable_at IS NOT NULL AND NEW.finalizable_at IS DISTINCT FROM OLD.finalizable_at),
        ('a cancellation was taken back',
         goes_on AND OLD.cancelled_at IS NOT NULL AND NEW.cancelled_at IS DISTINCT FROM OLD.cancelled_at),
        ('another file became the job',
         OLD.source_version IS NOT NULL AND NEW.source_version IS DISTINCT FROM OLD.source_version),
        ('totals were declared twice',
         OLD.rows_total IS NOT NULL
         AND (OLD.rows_total <> NEW.rows_total OR goes_on AND OLD.images_total <> NEW.images_total)),
        ('a correction came to a generation that was begun without it',
         goes_on AND OLD.corrections_version IS DISTINCT FROM NEW.corrections_version)
    ) AS rule (what, is_broken) WHERE is_broken;
    INSERT INTO model.lease SELECT NEW.fan_out_token, model.actor(), false
    WHERE NEW.fan_out_token IS NOT NULL ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER check_job AFTER UPDATE ON job_request FOR EACH ROW EXECUTE FUNCTION model.check_job();

-- What was told of a generation, or sent to a webhook, stands.
CREATE FUNCTION model.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO model.violation VALUES (OLD.request_id, TG_OP || ' of a ' || TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE TRIGGER refuse AFTER UPDATE OR DELETE ON job_outcome FOR EACH ROW EXECUTE FUNCTION model.refuse();
CREATE TRIGGER refuse AFTER UPDATE OR DELETE ON webhook_delivery FOR EACH ROW EXECUTE FUNCTION model.refuse();
