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
-- then at most 500 event IDs, none of which is declared
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

local used, unused, since = {}, {}, {}
for i = 1, #ARGV - 1 do
    local event = ARGV[1 + i]
    if running[i] or finished[i] then
        used[#used + 1] = event
    else
        unused[#unused + 1] = event
        since[#since + 1], since[#since + 2] = last_start, event
    end
end
-- Always, and first: a server that is out of memory lets a script go on whose first write frees some.
redis.call('ZREM', idle, '', unpack(used))
if #unused == 0 then
    return 0
end
redis.call('ZADD', idle, 'NX', unpack(since))
local expired = {}
for i, score in ipairs(redis.call('ZMSCORE', idle, unpack(unused))) do
    if tonumber(score) < start - ARGV[1] then
        expired[#expired + 1] = unused[i]
    end
end
if #expired == 0 then
    return 0
end
redis.call('ZREM', idle, unpack(expired))
return redis.call('HDEL', totals, unpack(expired))
