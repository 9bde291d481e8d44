-- SPDX-License-Identifier: MIT
-- An outbox for `purgeline consume` with `source: postgres`, for PostgreSQL 11 or newer. The application writes into
-- it in the same transaction as its change, so that a change is never without its purge, nor a purge without its
-- change. purgeline deletes a row when Redis has its job. See consumers.md.

CREATE TABLE purgeline_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()  -- optional: `purgeline status` shows the age of the oldest row
);

-- Wakes purgeline when the transaction is committed. Without it, purgeline looks every few seconds.
CREATE FUNCTION purgeline_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_NAME, '');
    RETURN NULL;
END $$;

CREATE TRIGGER purgeline_outbox_notify AFTER INSERT ON purgeline_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION purgeline_outbox_notify();

-- The user of purgeline. UPDATE is for locking rows; it changes none.
--
--     CREATE ROLE purgeline LOGIN PASSWORD 'change-me';
--     GRANT SELECT, UPDATE, DELETE ON purgeline_outbox TO purgeline;

-- An example that needs no change of the application: for each row of the table `articles` that is changed, a message
-- {"table": "articles", "change": "UPDATE", "new": {...}, "old": {...}}. A consumer for it:
--
--     keys: ["article-{new.id}", "article-{old.id}", "author-{new.author}", "author-{old.author}"]
--
--     CREATE TRIGGER purge_articles AFTER INSERT OR UPDATE OR DELETE ON articles
--         FOR EACH ROW EXECUTE FUNCTION purgeline_outbox_row();

-- SECURITY DEFINER: who changes an article needs no permission for the outbox.
CREATE FUNCTION purgeline_outbox_row() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO purgeline_outbox (message) VALUES (jsonb_build_object(
        'table', TG_TABLE_NAME, 'change', TG_OP,
        'new', CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE to_jsonb(NEW) END,
        'old', CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE to_jsonb(OLD) END));
    RETURN NULL;
END $$;
