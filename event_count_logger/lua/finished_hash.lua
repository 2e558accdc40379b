-- Read a page of the counts of one finished interval, in the layout `hash`.
--
-- KEYS[1]  stream: history of finished intervals; see rotate_hash.lua
-- KEYS[2]  string: ID in the stream of the interval whose counts are in KEYS[3]
-- KEYS[3]  hash: event ID -> count in the last interval
-- KEYS[4]  hash: event ID -> count in the interval to read, unless that is the last one
--
-- ARGV[1]  ID of the interval in the stream
-- ARGV[2]  cursor of HSCAN; '0' for the first page
-- ARGV[3]  approximate number of counts
--
-- Returns {cursor of the next page, or '0' after the last one; list of event ID, count}. Returns {} if the
-- interval is no longer in the history.

assert(#KEYS == 4 and #ARGV == 3, 'finished_hash: KEYS or ARGV are missing')
local history, last_id, last, own = unpack(KEYS)
local id, cursor, count = unpack(ARGV)

if #redis.call('XRANGE', history, id, id) == 0 then
    return {}
end
local is_last = redis.call('EXISTS', own) == 0 and redis.call('GET', last_id) == id
return redis.call('HSCAN', is_last and last or own, cursor, 'COUNT', count)
