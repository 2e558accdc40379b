-- Remove idle events from the totals, in the layout `hash`. Each event is checked by itself, so a caller may
-- divide the events among several calls and repeat a call.
--
-- KEYS[1]  hash: event ID -> all-time total
-- KEYS[2]  sorted set: idle events, which have a total but no count in the last and the current interval;
--          the score is the end of the last interval in which they had one, Unix seconds
-- KEYS[3]  hash: event ID -> count in the current interval
-- KEYS[4]  hash: event ID -> count in the last interval
-- KEYS[5]  string: start of the current interval, Unix seconds
-- KEYS[6]  string: start of the last interval, Unix seconds
-- KEYS[7]  hash: event ID -> time at which its total began; see count_hash.lua
--
-- ARGV[1]  seconds after which an idle event leaves the totals
-- then at most 500 event IDs, none of a declared event
--
-- Returns the number of events that have left the totals.

assert(#KEYS == 7 and #ARGV >= 2, 'expire_hash: KEYS or ARGV are missing')
local totals, idle, expire_after = KEYS[1], KEYS[2], ARGV[1]
local current_counts = redis.call('HMGET', KEYS[3], unpack(ARGV, 2))
local last_counts = redis.call('HMGET', KEYS[4], unpack(ARGV, 2))
local start, last_start = redis.call('GET', KEYS[5]), redis.call('GET', KEYS[6])
if not start or not last_start then
    return 0
end

local used, unused, since = {}, {}, {}
for i = 1, #ARGV - 1 do
    local event = ARGV[1 + i]
    if current_counts[i] or last_counts[i] then
        used[#used + 1] = event
    else
        unused[#unused + 1] = event
        since[#since + 1], since[#since + 2] = last_start, event
    end
end

-- ZREM is first, also without events: a server that is out of memory lets a script run whose first write frees
-- memory.
redis.call('ZREM', idle, '', unpack(used))
if #unused == 0 then
    return 0
end
redis.call('ZADD', idle, 'NX', unpack(since))
local expired = {}
for i, score in ipairs(redis.call('ZMSCORE', idle, unpack(unused))) do
    if tonumber(score) < start - expire_after then
        expired[#expired + 1] = unused[i]
    end
end
if #expired == 0 then
    return 0
end
redis.call('ZREM', idle, unpack(expired))
redis.pcall('HDEL', KEYS[7], unpack(expired))
return redis.call('HDEL', totals, unpack(expired))
