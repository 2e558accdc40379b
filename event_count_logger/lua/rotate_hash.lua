-- End the running interval of a group if its time is over, where its counts are in one hash: cur becomes last,
-- and is noted in the history. However many events there are, it takes the same time.
--
-- KEYS[1]   string: start of the running interval, Unix seconds
-- KEYS[2]   string: start of the last finished interval, Unix seconds
-- KEYS[3]   hash: event ID -> count in the running interval
-- KEYS[4]   hash: event ID -> count in the last finished interval
-- KEYS[5]   string: how many intervals were finished so far
-- KEYS[6]   stream: the finished intervals, each with start, end and number. The ID is the end in milliseconds,
--           and the number of the interval.
-- KEYS[7]   hash: what each event has counted since ever
-- KEYS[8]   sorted set: event IDs that have a total and are not in use
-- KEYS[9]   hash: where the counts that are in KEYS[4] go, if the history keeps them
-- KEYS[10]  set that is there where somebody counts with the other layout
-- then, for each interval that falls out of the history, the hash of its counts
--
-- ARGV[1]  length of the interval in milliseconds
-- ARGV[2]  now in milliseconds, or '' for the server's clock
-- ARGV[3]  start of the running interval when the history was looked at, or ''
-- ARGV[4]  how many intervals were finished then, or ''
-- ARGV[5]  'history' if the interval is to be noted there
-- ARGV[6]  'keep' if the history keeps the last finished interval
-- ARGV[7]  'totals' if there are some; else they are deleted
-- then the IDs in the stream of the intervals that fall out of the history
--
-- Returns {outcome, now in milliseconds, milliseconds until the next boundary, ...}:
--   changed    it was rotated since the history was looked at: look again; nothing changed
--   waiting    the interval is still running; nothing changed
--   started    there was no running interval; it starts at the latest boundary
--   restarted  the running interval began in the future, so the clock was wrong; as started
--   rotated    start, end, list of the keys that hold something else than they should: they were left alone

local CHUNK = 1000  -- items in one command

local cur_ts, last_ts, cur, last, finished, history = unpack(KEYS, 1, 6)
local totals, idle, kept, stranger = unpack(KEYS, 7, 10)
local length, start_then, finished_then = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local has_history, keeps_last, has_totals = ARGV[5] == 'history', ARGV[6] == 'keep', ARGV[7] == 'totals'
assert(#KEYS - 10 == #ARGV - 7, 'rotate_hash: KEYS do not fit ARGV')

local now = tonumber(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local boundary = now - now % length
local until_next = boundary + length - now

local function seconds(ms)
    return string.format(ms % 1000 == 0 and '%d' or '%.3f', ms / 1000)
end

local finished_now = redis.pcall('GET', finished)
if type(finished_now) ~= 'string' then
    finished_now = ''
end
local start = redis.call('GET', cur_ts)
local start_ms = start and math.floor((tonumber(start) or 0) * 1000 + 0.5)
if (start or '') ~= start_then or finished_now ~= finished_then then
    return {'changed', now, 0}
elseif not start then
    redis.call('SET', cur_ts, seconds(boundary))
    return {'started', now, until_next}
elseif start_ms > now + length then
    redis.call('DEL', last_ts)
    redis.call('SET', cur_ts, seconds(boundary))
    return {'restarted', now, until_next}
elseif start_ms >= boundary then
    return {'waiting', now, start_ms + length - now}
end

-- Both are looked at before the first write: a wrong type there must not leave half of it done.
redis.call('HLEN', cur)
redis.call('HLEN', last)

-- Whatever holds many counts is unlinked: freeing them, and so replacing them, would keep the server from others.
for first = 11, #KEYS, CHUNK do
    redis.call('UNLINK', unpack(KEYS, first, math.min(first + CHUNK - 1, #KEYS)))
end
if keeps_last and redis.call('EXISTS', kept) == 0 and redis.call('EXISTS', last) == 1 then
    redis.call('RENAME', last, kept)
else
    redis.call('UNLINK', last)
end
if redis.call('EXISTS', cur) == 1 then
    redis.call('RENAME', cur, last)
end
redis.call('SET', last_ts, start)
redis.call('SET', cur_ts, seconds(boundary))

-- What comes now is besides: a key of another type in the way must not keep counts from being rotated.
local obstacles = {}
local function try(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
        obstacles[#obstacles + 1] = key
        return nil
    end
    return answer
end

local number = try('INCR', finished)
for first = 8, #ARGV, CHUNK do
    try('XDEL', history, unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
end
if has_history and number then
    local entry = {'start', start, 'end', seconds(boundary), 'number', number}
    local id = string.format('%.0f-%d', boundary, number)
    local answer = redis.pcall('XADD', history, id, unpack(entry))
    if type(answer) == 'table' and answer.err then
        -- The clock was ahead when the last one was noted: IDs only grow.
        try('XADD', history, '*', unpack(entry))
    end
elseif try('XLEN', history) == 0 then
    redis.call('UNLINK', history)
end
if not has_totals then
    redis.call('UNLINK', totals, idle)
end
if redis.call('EXISTS', stranger) == 1 then
    obstacles[#obstacles + 1] = stranger
end
return {'rotated', now, until_next, start, seconds(boundary), obstacles}
