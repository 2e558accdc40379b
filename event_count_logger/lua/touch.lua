-- Record that a source is active although it has nothing to commit.
--
-- KEYS[1]  hash: source ID -> last committed position
-- KEYS[2]  hash: source ID -> "<Unix seconds> <position>": when the source last showed activity, and its position then
--
-- ARGV[1]  source ID
-- ARGV[2]  now in Unix seconds
--
-- Returns 1. Returns 0, and changes nothing, if the source has no position.

local source, now = ARGV[1], ARGV[2]
local position = redis.call('HGET', KEYS[1], source)
if not position then
    return 0
end
redis.call('HSET', KEYS[2], source, now .. ' ' .. position)
return 1
