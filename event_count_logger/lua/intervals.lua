-- Note that intervals of a group are counted in.
--
-- KEYS[1]  hash: interval -> when it was last counted in, Unix seconds
--
-- ARGV[1]  seconds after which an interval that is not counted in is forgotten; then the intervals
--
-- Returns nothing.

local now = tonumber(redis.call('TIME')[1])
for i = 2, #ARGV do
    redis.call('HSET', KEYS[1], ARGV[i], now)
end
local intervals = redis.call('HGETALL', KEYS[1])
for i = 1, #intervals, 2 do
    if now - (tonumber(intervals[i + 1]) or 0) > tonumber(ARGV[1]) then
        redis.call('HDEL', KEYS[1], intervals[i])
    end
end
