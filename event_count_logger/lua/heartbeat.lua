-- Record the heartbeat of a master or another service, or that it has stopped.
--
-- KEYS[1]  hash: ID -> "<Unix seconds of its last heartbeat> <description>"
--
-- ARGV[1]  ID
-- ARGV[2]  description: JSON, with `"stopped": true` if the service has stopped. The next heartbeat of another
--          service removes a stopped one.
-- ARGV[3]  seconds without a heartbeat after which a service is removed
--
-- Returns nothing.

local id, description, forget_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], id, now .. ' ' .. description)
local services = redis.call('HGETALL', KEYS[1])
for i = 1, #services, 2 do
    local seen = tonumber(string.match(services[i + 1], '^%d+')) or 0
    local stopped = string.find(services[i + 1], '"stopped": true', 1, true)
    if services[i] ~= id and (stopped or now - seen > forget_after) then
        redis.call('HDEL', KEYS[1], services[i])
    end
end
