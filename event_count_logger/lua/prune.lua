-- Remove sources without activity for too long.
--
-- KEYS[1]  hash: source ID -> last committed position
-- KEYS[2]  hash: source ID -> "<Unix seconds> <position>": when the source last showed activity, a new position or a
--          heartbeat, and its position then
--
-- ARGV[1]  seconds without activity after which a source is removed; '' removes none, and records all as active now
-- ARGV[2]  now in Unix seconds
-- then the source IDs to check
--
-- Returns the number of sources that were removed.

local forget_after, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local n_removed = 0
for i = 3, #ARGV do
    local source = ARGV[i]
    local position = redis.call('HGET', KEYS[1], source)
    local since, at = string.match(redis.call('HGET', KEYS[2], source) or '', '^(%d+) (.*)$')
    since = tonumber(since)
    if not position then
        redis.call('HDEL', KEYS[2], source)
    elseif not forget_after or at ~= position or since > now then
        redis.call('HSET', KEYS[2], source, ARGV[2] .. ' ' .. position)
    elseif now - since > forget_after then
        redis.call('HDEL', KEYS[1], source)
        redis.call('HDEL', KEYS[2], source)
        n_removed = n_removed + 1
    end
end
return n_removed
