-- Add an annotation of a group, and remove the oldest ones beyond a number.
--
-- KEYS[1]  sorted set: annotation -> its time, Unix seconds
--
-- ARGV[1]  time
-- ARGV[2]  annotation
-- ARGV[3]  most annotations that are kept
--
-- Returns 1 if the annotation is kept, 0 if all that are kept are newer.

local time, annotation, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], time, annotation)
local surplus = redis.call('ZCARD', KEYS[1]) - most
if surplus > 0 then
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'LIMIT', 0, surplus)
    for _, each in ipairs(oldest) do
        redis.call('ZREM', KEYS[1], each)
    end
end
return redis.call('ZSCORE', KEYS[1], annotation) and 1 or 0
