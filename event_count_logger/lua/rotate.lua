-- End the running interval of a group if its time is over: cur becomes last, and is noted in the history and
-- in the totals.
--
-- KEYS[1]  string: start of the running interval, Unix seconds
-- KEYS[2]  string: start of the last finished interval, Unix seconds
-- KEYS[3]  set: event IDs that have a counter in the running interval
-- KEYS[4]  set: event IDs that have a counter in the last finished interval
-- KEYS[5]  string: how many intervals were finished so far; 0 from the first look of a master on
-- KEYS[6]  stream: the finished intervals, each with start and end, and the event IDs and their
--          counts as JSON. The ID is the end in milliseconds, and the number of the interval.
-- KEYS[7]  hash: what each event has counted in the finished intervals since ever
-- KEYS[8]  sorted set: event IDs that have a total and are not in use, by the end of the last interval in which
--          they were, Unix seconds
-- KEYS[9]  string: the interval of the group whose counts are added to the totals
-- then one string per event: its count in the running interval,
-- then one string per event: its count in the last finished interval
--
-- ARGV[1]  length of the interval in milliseconds
-- ARGV[2]  now in milliseconds, or '' for the server's clock
-- ARGV[3]  start of the running interval when the sets were read, or ''
-- ARGV[4]  how many intervals the history holds; 0 for none, which deletes it
-- ARGV[5]  'off': there are no totals, which deletes them; 'other': another interval adds to them; otherwise
--          the name of this interval, which adds to them unless another one does
-- ARGV[6]  seconds after which an event that is not in use leaves the totals
-- ARGV[7]  number of declared events, which have a counter even when it is 0; then the
-- IDs of all events: first the declared ones, then the others of both sets. An
-- event that is not named stays where it is, and counts in the new interval.
--
-- Returns {outcome, now in milliseconds, milliseconds until the next boundary, ...}:
--   changed    it was rotated since the sets were read: read them again; nothing changed
--   waiting    the interval is still running; no count changed
--   started    there was no running interval; it starts at the latest boundary
--   restarted  the running interval began in the future, so the clock was wrong; as started
--   rotated    start, end, list of the keys that hold something else than they should: they were left alone

--!include clock
--!include rotation

local CHUNK = 1000  -- items in one command

local cur_ts, last_ts, cur_index, last_index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local finished, history, totals, idle, totals_interval = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local length, start_then, n_history = tonumber(ARGV[1]), ARGV[3], tonumber(ARGV[4])
local adds_to_totals, expire_after, n_declared = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local first_event, first_cur = 7, 9  -- of ARGV and KEYS, less 1
local n_events = #ARGV - first_event
local first_last = first_cur + n_events
assert(#KEYS == first_last + n_events, 'rotate: KEYS do not fit ARGV')

local now = milliseconds(ARGV[2])

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

-- From the first look on it is certain which interval adds to the totals, whatever configurations come later.
local function claim_totals()
    if adds_to_totals ~= 'off' and adds_to_totals ~= 'other' then
        redis.pcall('SETNX', totals_interval, adds_to_totals)
    end
end

local start, boundary, answer = look(cur_ts, last_ts, start_then, length, now)
if answer then
    if answer[1] ~= 'changed' then
        take(finished)
        claim_totals()
    end
    return answer
end

-- Both sets are looked at before the first write: a wrong type there must not leave half of it done.
redis.call('SCARD', cur_index)

local last_values, last_events, last_counts, absent_events = {}, {}, {}, {}
local zeros, gone, unlisted, declared = {}, {}, {}, {}
for first = 1, n_events, CHUNK do
    local last_of_chunk = math.min(first + CHUNK - 1, n_events)
    local values = redis.call('MGET', unpack(KEYS, first_cur + first, first_cur + last_of_chunk))
    for i = first, last_of_chunk do
        local event, cur, last = ARGV[first_event + i], KEYS[first_cur + i], KEYS[first_last + i]
        local value = values[i - first + 1]
        local absent = not value and redis.call('TYPE', cur).ok == 'none'
        if absent and i <= n_declared then
            value = '0'
        end
        local is_integer = value == '0' or value and string.match(value, '^%-?[1-9]%d*$')
        if is_integer then
            last_values[#last_values + 1] = last
            last_values[#last_values + 1] = value
            last_events[#last_events + 1] = event
            last_counts[#last_counts + 1] = value
        else
            gone[#gone + 1] = last
        end
        if absent and not value then
            absent_events[#absent_events + 1] = event
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

local function note_in_history(number)
    local names, counts = cjson.encode(last_events), '[' .. table.concat(last_counts, ',') .. ']'
    local entry = {'start', start, 'end', seconds(boundary), 'events', names, 'counts', counts}
    note({history, 'MAXLEN', n_history}, boundary, number, entry)
end

local function add_to_totals()
    for first = 1, #last_events, CHUNK do
        local last_of_chunk = math.min(first + CHUNK - 1, #last_events)
        local before = try('HMGET', totals, unpack(last_events, first, last_of_chunk))
        if not before then
            return
        end
        local sums = {}
        for i = first, last_of_chunk do
            local count = last_counts[i]
            if count ~= '0' then
                local held, added = tonumber(before[i - first + 1] or 0) or math.huge, tonumber(count)
                local sum = held + added
                if math.max(math.abs(held), math.abs(added), math.abs(sum)) < 2^53 then
                    sums[#sums + 1] = last_events[i]
                    sums[#sums + 1] = sum
                else
                    try('HINCRBY', totals, last_events[i], count)
                end
            end
        end
        if #sums > 0 then
            redis.call('HSET', totals, unpack(sums))
        end
    end
end

-- An event that is in use is not idle; one that was in use in the interval before is idle since its end.
local function expire_totals()
    if not try('ZCARD', idle) then
        return
    end
    in_chunks(last_events, 'ZREM', idle)
    for first = 1, #absent_events, CHUNK do
        local arguments = {}
        for i = first, math.min(first + CHUNK - 1, #absent_events) do
            arguments[#arguments + 1] = start
            arguments[#arguments + 1] = absent_events[i]
        end
        redis.call('ZADD', idle, unpack(arguments))
    end
    local before = string.format('(%.3f', boundary / 1000 - expire_after)
    local most = CHUNK + #absent_events  -- more than come
    for _, event in ipairs(redis.call('ZRANGEBYSCORE', idle, '-inf', before, 'LIMIT', 0, most)) do
        redis.call('ZREM', idle, event)
        if redis.call('SISMEMBER', cur_index, event) == 0 then
            try('HDEL', totals, event)
        end
    end
end

local number = try('INCR', finished)
if n_history == 0 then
    redis.call('DEL', history)
elseif number then
    note_in_history(number)
end
if adds_to_totals == 'off' then
    redis.call('DEL', totals, idle, totals_interval)
elseif adds_to_totals ~= 'other' then
    claim_totals()
    if try('GET', totals_interval) == adds_to_totals then
        add_to_totals()
        expire_totals()
    end
end
return {'rotated', now, boundary + length - now, start, seconds(boundary), obstacles}
