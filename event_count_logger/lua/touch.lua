-- Note that a source is alive though it has nothing to commit.
--
-- KEYS[1]  hash: source ID -> last committed position
-- KEYS[2]  hash: source ID -> "<Unix seconds> <position>": when it was last seen, and where
--
-- ARGV[1]  source ID
-- ARGV[2]  now in Unix seconds
--
-- Returns 1; 0 if it has no position: then nothing changed.

local position = redis.call('HGET', KEYS[1], ARGV[1])
if not position then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. position)
return 1
