-- list_migrations --
SELECT version FROM schema_migration;

-- record_migration --
INSERT INTO schema_migration (version, name) VALUES (%(version)s, %(name)s);
