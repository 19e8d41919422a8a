-- The letters that a retry job has in hand: a JSON object as store/retry-chunks writes it; NULL: none.
ALTER TABLE retry_jobs ADD COLUMN chunk TEXT;
CREATE INDEX retry_jobs_begun ON retry_jobs (lease_until) WHERE chunk IS NOT NULL;
