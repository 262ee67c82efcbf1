-- record_delivery --
INSERT INTO webhook_delivery (request_id, event_id, attempt, status_code, error_message, outcome)
VALUES (%(request_id)s, %(event_id)s, %(attempt)s, %(status_code)s, %(error_message)s, %(outcome)s)
ON CONFLICT (event_id, attempt) DO NOTHING;

-- last_delivery --
SELECT attempt, outcome FROM webhook_delivery WHERE event_id = %(event_id)s ORDER BY attempt DESC LIMIT 1;
