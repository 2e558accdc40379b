-- Note that a master is there, or has stopped.
--
-- KEYS[1]  hash: master ID -> when it was last there in Unix seconds, and what it is as JSON, in which `stopped`
--          is true of one that has stopped. The next heartbeat of another master removes that.
--
-- ARGV[1]  master ID
-- ARGV[2]  what it is
-- ARGV[3]  seconds after which a master that was not there is forgotten
--
-- Returns nothing.

local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local masters = redis.call('HGETALL', KEYS[1])
for i = 1, #masters, 2 do
    local seen = tonumber(string.match(masters[i + 1], '^%d+')) or 0
    local stopped = string.find(masters[i + 1], '"stopped": true', 1, true)
    if masters[i] ~= ARGV[1] and (stopped or now - seen > tonumber(ARGV[3])) then
        redis.call('HDEL', KEYS[1], masters[i])
    end
end
