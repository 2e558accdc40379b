-- Record which intervals of a group are in use for counting.
--
-- KEYS[1]  hash: interval -> time of its last use, Unix seconds
--
-- ARGV[1]  seconds without use after which an interval is removed
-- then the intervals
--
-- Returns nothing, and never an error of a command. The script runs behind a commit in the same pipeline, and the
-- reply of the commit shows what is wrong with the server.

local try, forget_after = redis.pcall, tonumber(ARGV[1])
local now = tonumber(redis.call('TIME')[1])
for i = 2, #ARGV do
    try('HSET', KEYS[1], ARGV[i], now)
end
local intervals = try('HGETALL', KEYS[1])
for i = 1, #intervals, 2 do
    if now - (tonumber(intervals[i + 1]) or 0) > forget_after then
        try('HDEL', KEYS[1], intervals[i])
    end
end
