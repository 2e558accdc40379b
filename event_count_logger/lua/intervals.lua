-- Note that intervals of a group are counted in.
--
-- KEYS[1]  hash: interval -> when it was last counted in, Unix seconds
--
-- ARGV[1]  seconds after which an interval that is not counted in is forgotten; then the intervals
--
-- Returns nothing, and never an error of a command: this is sent behind a commit, whose reply says what is
-- wrong with the server.

local try = redis.pcall
local now = tonumber(redis.call('TIME')[1])
for i = 2, #ARGV do
    try('HSET', KEYS[1], ARGV[i], now)
end
local intervals = try('HGETALL', KEYS[1])
for i = 1, #intervals, 2 do
    if now - (tonumber(intervals[i + 1]) or 0) > tonumber(ARGV[1]) then
        try('HDEL', KEYS[1], intervals[i])
    end
end
