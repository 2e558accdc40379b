-- Read some of the counts of one finished interval, where they are in a hash.
--
-- KEYS[1]  stream: the finished intervals; see rotate_hash.lua
-- KEYS[2]  string: the ID in the stream of the interval whose counts are in KEYS[3]
-- KEYS[3]  hash: event ID -> count in the last finished interval
-- KEYS[4]  hash: event ID -> count in the interval that is asked for, unless it is the last one
--
-- ARGV[1]  ID of the interval in the stream
-- ARGV[2]  where to go on, as HSCAN takes it; '0' to begin
-- ARGV[3]  about how many counts
--
-- Returns {where to go on, '0' at the end; event IDs, each followed by its count}; nothing if the interval has
-- fallen out of the history.

assert(#KEYS == 4 and #ARGV == 3, 'finished_hash: KEYS or ARGV are missing')
local history, last_id, last, own = unpack(KEYS)
local id, cursor, count = unpack(ARGV)

if #redis.call('XRANGE', history, id, id) == 0 then
    return {}
end
local is_last = redis.call('EXISTS', own) == 0 and redis.call('GET', last_id) == id
return redis.call('HSCAN', is_last and last or own, cursor, 'COUNT', count)
