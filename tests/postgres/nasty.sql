CREATE SCHEMA "Mixed Case";
CREATE SCHEMA "schéma ""quoted""";
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm SCHEMA "Mixed Case";
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'froh');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE, mood mood, size positive,
    tags hstore, shouted text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE "Mixed Case"."Table ""1""" (
    "Id" serial PRIMARY KEY, "Köln; --" text, customer bigint REFERENCES customers (id) ON DELETE CASCADE, blob bytea);
CREATE TABLE "schéma ""quoted"""."leer" (a integer);
CREATE TABLE metrics (run text NOT NULL, step integer NOT NULL, value double precision) PARTITION BY RANGE (step);
CREATE TABLE metrics_low PARTITION OF metrics FOR VALUES FROM (0) TO (100);
CREATE TABLE metrics_high PARTITION OF metrics FOR VALUES FROM (100) TO (1000);
CREATE INDEX ON metrics (run);
CREATE UNLOGGED TABLE fleeting (a integer);
INSERT INTO customers (name, mood, size, tags)
    SELECT 'customer ' || i, 'it''s ok', i, 'a=>1' FROM generate_series(1, 500) AS i;
INSERT INTO "Mixed Case"."Table ""1""" ("Köln; --", customer, blob)
    SELECT E'tab\t, back\\slash, 雪, \u0001', i, decode(md5(i::text), 'hex') FROM generate_series(1, 50) AS i;
INSERT INTO "Mixed Case"."Table ""1""" (blob)
    SELECT string_agg(decode(md5(i::text), 'hex'), '') FROM generate_series(1, 330000) AS i;
INSERT INTO metrics SELECT 'run' || i % 7, i % 1000, random() FROM generate_series(1, 5000) AS i;
INSERT INTO metrics VALUES ('nan', 1, 'NaN'), ('inf', 1, '-Infinity'), ('null', 1, NULL);
INSERT INTO fleeting SELECT generate_series(1, 10);
CREATE SEQUENCE never_used START 100 INCREMENT -5 MINVALUE -1000 MAXVALUE 1000;
CREATE SEQUENCE used; SELECT setval('used', 4711);
CREATE VIEW happy AS SELECT * FROM customers WHERE mood = 'froh';
CREATE MATERIALIZED VIEW totals AS SELECT run, count(*) AS n FROM metrics GROUP BY run;
CREATE UNIQUE INDEX ON totals (run);
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN NEW.size := coalesce(NEW.size, 1); RETURN NEW; END $body$;
CREATE TRIGGER touching BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TABLE customers IS 'It''s a comment; with "quotes" and
two lines';
SELECT lo_from_bytea(4242, decode(repeat('cafe', 1000), 'hex'));
CREATE TABLE secrets (owner text, secret text);
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets USING (owner = current_user);
INSERT INTO secrets VALUES ('reader', 'visible'), ('other', 'hidden');
GRANT SELECT ON secrets, customers TO reader;
GRANT USAGE ON SCHEMA "Mixed Case" TO "Wri""ter";
ALTER TABLE metrics OWNER TO "Wri""ter";
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
