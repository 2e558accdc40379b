-- End the current interval of a group if it is over, in the layout `hash`: cur becomes last, and an entry goes to
-- the history. The time that it takes does not depend on the number of events.
--
-- KEYS[1]   string: start of the current interval, Unix seconds
-- KEYS[2]   string: start of the last interval, Unix seconds
-- KEYS[3]   hash: event ID -> count in the current interval
-- KEYS[4]   hash: event ID -> count in the last interval
-- KEYS[5]   string: number of finished intervals; 0 from the first check of a master on
-- KEYS[6]   stream: history of finished intervals, each with start, end and number. An ID is
--           '<end in milliseconds>-<number of the interval>'.
-- KEYS[7]   string: ID in the stream of the interval whose counts are in KEYS[4]; missing if the stream does not
--           have that interval
-- KEYS[8]   hash: event ID -> all-time total
-- KEYS[9]   sorted set: idle events; see expire_hash.lua
-- KEYS[10]  hash: event ID -> time at which its total began; see count_hash.lua
-- KEYS[11]  hash: new key for the counts in KEYS[4], if the stream keeps their interval
-- then, for each interval that leaves the history, the hash of its counts
--
-- ARGV[1]  length of the interval, as in boundary.lua
-- ARGV[2]  now in milliseconds, or '' for the server's clock
-- ARGV[3]  start of the current interval when the caller read the history, or ''
-- ARGV[4]  'history' to append the interval to the history
-- ARGV[5]  'totals' for a group with totals; else they are deleted
-- ARGV[6]  value of KEYS[7] when the caller read the history, or ''
-- then the IDs in the stream of the intervals that leave the history
--
-- Returns {outcome, now in milliseconds, milliseconds until the next boundary, ...}; rotation.lua has a table of the
-- outcomes:
--   changed    rotated since the caller read the history; the caller reads again
--   waiting    the current interval is not over; no count changed
--   started    there was no current interval; it starts at the latest boundary
--   restarted  the current interval began in the future, because the clock was wrong; as started
--   rotated    start, end, list of the keys that have an unexpected type, which are left unchanged

--!include clock
--!include rotation

local CHUNK = 1000  -- items in one command

local cur_ts, last_ts, cur, last, finished = unpack(KEYS, 1, 5)
local history, last_id_key, totals, idle, created, kept = unpack(KEYS, 6, 11)
local has_history, has_totals, last_id = ARGV[4] == 'history', ARGV[5] == 'totals', ARGV[6]
assert(#KEYS - 11 == #ARGV - 6, 'rotate_hash: KEYS do not match ARGV')

local now = milliseconds(ARGV[2])
local start, boundary, until_next, answer = check(cur_ts, last_ts, ARGV[3], ARGV[1], now)
if answer then
    if answer[1] ~= 'changed' then
        claim(finished)
    end
    return answer
end

-- Check both types before the first write, because Lua has no rollback.
redis.call('HLEN', cur)
redis.call('HLEN', last)

-- Remove the oldest intervals. UNLINK frees memory in another thread; DEL, and RENAME onto a key, would block other
-- clients while they free a large hash.
for first = 12, #KEYS, CHUNK do
    redis.call('UNLINK', unpack(KEYS, first, math.min(first + CHUNK - 1, #KEYS)))
end
for first = 7, #ARGV, CHUNK do
    try('XDEL', history, unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
end
-- Keep the counts of the last interval if the history has it, then let cur become last.
local is_held = last_id ~= '' and #redis.pcall('XRANGE', history, last_id, last_id) > 0
if is_held and redis.call('EXISTS', last) == 1 and redis.call('EXISTS', kept) == 0 then
    redis.call('RENAME', last, kept)
else
    redis.call('UNLINK', last)
end
if redis.call('EXISTS', cur) == 1 then
    redis.call('RENAME', cur, last)
end
redis.call('SET', last_ts, start)
redis.call('SET', cur_ts, seconds(boundary))

-- Append the interval to the history.
local number = try('INCR', finished)
local id
if has_history and number then
    id = append_to_history({history}, boundary, number, {'start', start, 'end', seconds(boundary), 'number', number})
elseif try('XLEN', history) == 0 then
    redis.call('UNLINK', history)
end
if id then
    redis.call('SET', last_id_key, id)
else
    redis.call('DEL', last_id_key)
end
if not has_totals then
    redis.call('UNLINK', totals, idle, created)
end
return {'rotated', now, until_next, start, seconds(boundary), obstacles}
