-- record_delivery --
INSERT INTO webhook_delivery (request_id, event_id, attempt, status_code, error_message, outcome)
VALUES (%(request_id)s, %(event_id)s, %(attempt)s, %(status_code)s, %(error_message)s, %(outcome)s)
ON CONFLICT (event_id, attempt) DO NOTHING;

-- list_deliveries --
SELECT event_id, attempt, attempted_at, status_code, error_message, outcome FROM webhook_delivery
WHERE request_id = %(request_id)s ORDER BY delivery_id DESC LIMIT %(limit)s;

-- last_delivery --
SELECT attempt, outcome FROM webhook_delivery WHERE event_id = %(event_id)s ORDER BY attempt DESC LIMIT 1;
