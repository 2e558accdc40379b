-- Forget sources whose position has not moved for too long.
--
-- KEYS[1]  hash: source ID -> last committed position
-- KEYS[2]  hash: source ID -> "<Unix seconds> <position>": when it was last seen to have moved, or to be alive,
--          and where
--
-- ARGV[1]  seconds that are too long; '' to forget none, and take all as seen now
-- ARGV[2]  now in Unix seconds
-- then the source IDs to look at
--
-- Returns how many were forgotten.

local longest, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local forgotten = 0
for i = 3, #ARGV do
    local source = ARGV[i]
    local position = redis.call('HGET', KEYS[1], source)
    local since, at = string.match(redis.call('HGET', KEYS[2], source) or '', '^(%d+) (.*)$')
    since = tonumber(since)
    if not position then
        redis.call('HDEL', KEYS[2], source)
    elseif not longest or at ~= position or since > now then
        redis.call('HSET', KEYS[2], source, ARGV[2] .. ' ' .. position)
    elseif now - since > longest then
        redis.call('HDEL', KEYS[1], source)
        redis.call('HDEL', KEYS[2], source)
        forgotten = forgotten + 1
    end
end
return forgotten
