-- Forget a source that will not commit again.
--
-- KEYS[1]  hash: source ID -> last committed position
--
-- ARGV[1]  source ID
--
-- Returns the position that it had; '' if there was none.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return stored or ''
