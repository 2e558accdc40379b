-- End the running interval of a group if its time is over: cur becomes last.
--
-- KEYS[1]  string: start of the running interval, Unix seconds
-- KEYS[2]  string: start of the last finished interval, Unix seconds
-- KEYS[3]  set: event IDs that have a counter in the running interval
-- KEYS[4]  set: event IDs that have a counter in the last finished interval
-- then one string per event: its count in the running interval,
-- then one string per event: its count in the last finished interval
--
-- ARGV[1]  length of the interval in milliseconds
-- ARGV[2]  now in milliseconds, or '' for the server's clock
-- ARGV[3]  start of the running interval when the sets were read, or ''
-- ARGV[4]  number of declared events, which have a counter even when it is 0; then the
-- IDs of all events: first the declared ones, then the others of both sets. An
-- event that is not named stays where it is, and counts in the new interval.
--
-- Returns {outcome, now in milliseconds, milliseconds until the next boundary, ...}:
--   changed    it was rotated since the sets were read: read them again; nothing changed
--   waiting    the interval is still running; nothing changed
--   started    there was no running interval; it starts at the latest boundary
--   restarted  the running interval began in the future, so the clock was wrong; as started
--   rotated    start, end, list of the keys that hold no integer: they were left alone

local CHUNK = 1000  -- items in one command

local cur_ts, last_ts, cur_index, last_index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local length, start_then, n_declared = tonumber(ARGV[1]), ARGV[3], tonumber(ARGV[4])
local n_events = #ARGV - 4
assert(#KEYS == 4 + 2 * n_events, 'rotate: KEYS do not fit ARGV')

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

-- Calls the command with all items, a chunk at a time, after the first arguments.
local function in_chunks(items, command, ...)
    for first = 1, #items, CHUNK do
        local arguments = {...}
        for i = first, math.min(first + CHUNK - 1, #items) do
            arguments[#arguments + 1] = items[i]
        end
        redis.call(command, unpack(arguments))
    end
end

local start = redis.call('GET', cur_ts)
local start_ms = start and math.floor((tonumber(start) or 0) * 1000 + 0.5)
if (start or '') ~= start_then then
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

-- Both sets are looked at before the first write: a wrong type there must not leave half of it done.
redis.call('SCARD', cur_index)

local last_values, last_events, zeros, gone, unlisted, declared, obstacles = {}, {}, {}, {}, {}, {}, {}
for first = 1, n_events, CHUNK do
    local last_of_chunk = math.min(first + CHUNK - 1, n_events)
    local values = redis.call('MGET', unpack(KEYS, 4 + first, 4 + last_of_chunk))
    for i = first, last_of_chunk do
        local event, cur, last = ARGV[4 + i], KEYS[4 + i], KEYS[4 + n_events + i]
        local value = values[i - first + 1]
        local absent = not value and redis.call('TYPE', cur).ok == 'none'
        if absent and i <= n_declared then
            value = '0'
        end
        local is_integer = value and string.match(value, '^%-?%d+$')
        if is_integer then
            last_values[#last_values + 1] = last
            last_values[#last_values + 1] = value
            last_events[#last_events + 1] = event
        else
            gone[#gone + 1] = last
        end
        if not is_integer and not absent then
            obstacles[#obstacles + 1] = cur
        elseif i <= n_declared then
            zeros[#zeros + 1] = cur
            zeros[#zeros + 1] = '0'
            declared[#declared + 1] = event
        else
            gone[#gone + 1] = cur
            unlisted[#unlisted + 1] = event
        end
    end
end

-- DEL first: a server that is out of memory lets a script go on whose first write frees some.
redis.call('DEL', last_index)
in_chunks(last_values, 'MSET')
in_chunks(zeros, 'MSET')
in_chunks(gone, 'DEL')
in_chunks(last_events, 'SADD', last_index)
in_chunks(unlisted, 'SREM', cur_index)
in_chunks(declared, 'SADD', cur_index)
redis.call('SET', last_ts, start)
redis.call('SET', cur_ts, seconds(boundary))
return {'rotated', now, until_next, start, seconds(boundary), obstacles}
