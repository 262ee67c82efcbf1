-- What callers have used up: images a day (UTC), and requests in the present minute.
CREATE TABLE caller_usage (
    owner  text NOT NULL,
    day    date NOT NULL,
    images bigint NOT NULL CHECK (images >= 0),
    PRIMARY KEY (owner, day)
);
CREATE TABLE caller_rate (
    owner    text PRIMARY KEY,
    minute   timestamptz NOT NULL,
    requests int NOT NULL CHECK (requests > 0)
);
