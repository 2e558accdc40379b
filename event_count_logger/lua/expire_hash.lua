-- Let events that have not been in use for long leave the totals, where the counts are in hashes. Each event is
-- looked at by itself, so that they may come some at a time, and again.
--
-- KEYS[1]  hash: what each event has counted since ever
-- KEYS[2]  sorted set: event IDs that have a total and are not in use, by the end of the last interval in which
--          they were, Unix seconds
-- KEYS[3]  hash: event ID -> count in the running interval
-- KEYS[4]  hash: event ID -> count in the last finished interval
-- KEYS[5]  string: start of the running interval, Unix seconds
-- KEYS[6]  string: start of the last finished interval, Unix seconds
--
-- ARGV[1]  seconds after which an event that is not in use leaves the totals
-- then at most 1000 event IDs, none of which is declared
--
-- Returns how many have left.

assert(#KEYS == 6 and #ARGV >= 2, 'expire_hash: KEYS or ARGV are missing')
local totals, idle = KEYS[1], KEYS[2]
local running = redis.call('HMGET', KEYS[3], unpack(ARGV, 2))
local finished = redis.call('HMGET', KEYS[4], unpack(ARGV, 2))
local start, last_start = redis.call('GET', KEYS[5]), redis.call('GET', KEYS[6])
if not start or not last_start then
    return 0
end

local left = 0
for i = 1, #ARGV - 1 do
    local event = ARGV[1 + i]
    if running[i] or finished[i] then
        redis.call('ZREM', idle, event)
    else
        redis.call('ZADD', idle, 'NX', last_start, event)
        if tonumber(redis.call('ZSCORE', idle, event)) < start - ARGV[1] then
            redis.call('ZREM', idle, event)
            left = left + redis.call('HDEL', totals, event)
        end
    end
end
return left
