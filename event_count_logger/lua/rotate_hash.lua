-- End the running interval of a group if its time is over, where its counts are in one hash: cur becomes last,
-- and is noted in the history. However many events there are, it takes the same time.
--
-- KEYS[1]   string: start of the running interval, Unix seconds
-- KEYS[2]   string: start of the last finished interval, Unix seconds
-- KEYS[3]   hash: event ID -> count in the running interval
-- KEYS[4]   hash: event ID -> count in the last finished interval
-- KEYS[5]   string: how many intervals were finished so far; 0 from the first look of a master on
-- KEYS[6]   stream: the finished intervals, each with start, end and number. The ID is the end in milliseconds,
--           and the number of the interval.
-- KEYS[7]   string: the ID in the stream of the interval whose counts are in KEYS[4]; not there if the stream
--           does not have it
-- KEYS[8]   hash: what each event has counted since ever
-- KEYS[9]   sorted set: event IDs that have a total and are not in use
-- KEYS[10]  hash: where the counts that are in KEYS[4] go, if the stream keeps their interval
-- then, for each interval that falls out of the history, the hash of its counts
--
-- ARGV[1]  length of the interval in milliseconds
-- ARGV[2]  now in milliseconds, or '' for the server's clock
-- ARGV[3]  start of the running interval when the history was looked at, or ''
-- ARGV[4]  'history' if the interval is to be noted there
-- ARGV[5]  'totals' if there are some; else they are deleted
-- ARGV[6]  what was in KEYS[7] when the history was looked at, or ''
-- then the IDs in the stream of the intervals that fall out of the history
--
-- Returns {outcome, now in milliseconds, milliseconds until the next boundary, ...}:
--   changed    it was rotated since the history was looked at: look again; nothing changed
--   waiting    the interval is still running; nothing changed
--   started    there was no running interval; it starts at the latest boundary
--   restarted  the running interval began in the future, so the clock was wrong; as started
--   rotated    start, end, list of the keys that hold something else than they should: they were left alone

--!include clock
--!include rotation

local CHUNK = 1000  -- items in one command

local cur_ts, last_ts, cur, last, finished = unpack(KEYS, 1, 5)
local history, last_id_key, totals, idle, kept = unpack(KEYS, 6, 10)
local length, has_history, has_totals, last_id = tonumber(ARGV[1]), ARGV[4] == 'history', ARGV[5] == 'totals', ARGV[6]
assert(#KEYS - 10 == #ARGV - 6, 'rotate_hash: KEYS do not fit ARGV')

local now = milliseconds(ARGV[2])
local start, boundary, answer = look(cur_ts, last_ts, ARGV[3], length, now)
if answer then
    if answer[1] ~= 'changed' then
        take(finished)
    end
    return answer
end

-- Both are looked at before the first write: a wrong type there must not leave half of it done.
redis.call('HLEN', cur)
redis.call('HLEN', last)

-- Whatever holds many counts is unlinked: freeing them, and so replacing them, would keep the server from others.
for first = 11, #KEYS, CHUNK do
    redis.call('UNLINK', unpack(KEYS, first, math.min(first + CHUNK - 1, #KEYS)))
end
for first = 7, #ARGV, CHUNK do
    try('XDEL', history, unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
end
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

local number = try('INCR', finished)
local id
if has_history and number then
    id = note({history}, boundary, number, {'start', start, 'end', seconds(boundary), 'number', number})
elseif try('XLEN', history) == 0 then
    redis.call('UNLINK', history)
end
if id then
    redis.call('SET', last_id_key, id)
else
    redis.call('DEL', last_id_key)
end
if not has_totals then
    redis.call('UNLINK', totals, idle)
end
return {'rotated', now, boundary + length - now, start, seconds(boundary), obstacles}
