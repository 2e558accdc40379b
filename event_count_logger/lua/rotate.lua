-- End the current interval of a group if it is over, in the layout `keys`: cur becomes last, and its counts go to
-- the history and to the totals.
--
-- KEYS[1]  string: start of the current interval, Unix seconds
-- KEYS[2]  string: start of the last interval, Unix seconds
-- KEYS[3]  set: IDs of the events that have a counter in the current interval
-- KEYS[4]  set: IDs of the events that have a counter in the last interval
-- KEYS[5]  string: number of finished intervals; 0 from the first check of a master on
-- KEYS[6]  stream: history of finished intervals, each with start, end, event IDs and counts, both as JSON. An ID is
--          '<end in milliseconds>-<number of the interval>'.
-- KEYS[7]  hash: event ID -> total of its counts in finished intervals
-- KEYS[8]  sorted set: idle events, which have a total but no counter; the score is the end of the last interval in
--          which they had one, Unix seconds
-- KEYS[9]  string: name of the interval that adds to the totals
-- KEYS[10] hash: event ID -> time at which its total began; see count.lua
-- then one string per event: its count in the current interval
-- then one string per event: its count in the last interval
--
-- ARGV[1]  length of the interval, as in boundary.lua
-- ARGV[2]  now in milliseconds, or '' for the server's clock
-- ARGV[3]  start of the current interval when the caller read the sets, or ''
-- ARGV[4]  number of intervals that the history holds; 0 deletes it. At most 10,000 leave it in one rotation.
-- ARGV[5]  'off' for a group without totals, which deletes them; 'other' if another interval adds to them; else the
--          name of this interval, which adds to them unless another one already does
-- ARGV[6]  seconds after which an idle event leaves the totals
-- ARGV[7]  number of declared events, which have a counter even when it is 0
-- then the IDs of all events: first the declared ones, then the others of both sets. An event that is not named
--          stays in the current interval, and counts for the new one.
--
-- Returns {outcome, now in milliseconds, milliseconds until the next boundary, ...}; rotation.lua has a table of the
-- outcomes:
--   changed    rotated since the caller read the sets; the caller reads again
--   waiting    the current interval is not over; no count changed
--   started    there was no current interval; it starts at the latest boundary
--   restarted  the current interval began in the future, because the clock was wrong; as started
--   rotated    start, end, list of the keys that have an unexpected type, which are left unchanged

--!include clock
--!include rotation

local CHUNK = 1000  -- items in one command
local MOST_GOING = 10000  -- intervals that leave the history, if it has become much shorter: a bound for the time

local cur_ts, last_ts, cur_index, last_index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local finished, history, totals, idle, totals_interval, created = unpack(KEYS, 5, 10)
local start_then, n_history = ARGV[3], tonumber(ARGV[4])
local adds_to_totals, expire_after, n_declared = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local first_event, first_cur = 7, 10  -- index of the first one in ARGV and KEYS, minus 1
local n_events = #ARGV - first_event
local first_last = first_cur + n_events
assert(#KEYS == first_last + n_events, 'rotate: KEYS do not match ARGV')

local now = milliseconds(ARGV[2])

-- Calls a command with the given arguments and then all items, a chunk at a time.
local function in_chunks(items, command, ...)
    for first = 1, #items, CHUNK do
        local arguments = {...}
        for i = first, math.min(first + CHUNK - 1, #items) do
            arguments[#arguments + 1] = items[i]
        end
        redis.call(command, unpack(arguments))
    end
end

-- Makes this interval the one that adds to the totals, unless there is one. It runs from the first check on, so that
-- a later configuration with other intervals does not change it.
local function claim_totals()
    if adds_to_totals ~= 'off' and adds_to_totals ~= 'other' then
        redis.pcall('SETNX', totals_interval, adds_to_totals)
    end
end

local start, boundary, until_next, answer = check(cur_ts, last_ts, start_then, ARGV[1], now)
if answer then
    if answer[1] ~= 'changed' then
        claim(finished)
        claim_totals()
    end
    return answer
end

-- 1. Check the type of the set before the first write, because Lua has no rollback.
redis.call('SCARD', cur_index)

local last_values, last_events, last_counts, absent_events = {}, {}, {}, {}
local zeros, gone, unlisted, declared = {}, {}, {}, {}

-- 2. Read the counts, and sort the events by what happens to them.
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

-- 3. Write. DEL is first: a server that is out of memory lets a script run whose first write frees memory.
redis.call('DEL', last_index)
in_chunks(last_values, 'MSET')
in_chunks(zeros, 'MSET')
in_chunks(gone, 'DEL')
in_chunks(last_events, 'SADD', last_index)
in_chunks(unlisted, 'SREM', cur_index)
in_chunks(declared, 'SADD', cur_index)
redis.call('SET', last_ts, start)
redis.call('SET', cur_ts, seconds(boundary))

-- Appends the counts to the history.
local function add_to_history(number)
    local names, counts = cjson.encode(last_events), '[' .. table.concat(last_counts, ',') .. ']'
    local entry = {'start', start, 'end', seconds(boundary), 'events', names, 'counts', counts}
    local n_held = try('XLEN', history)
    if n_held then
        local n_kept = math.max(n_history, n_held + 1 - MOST_GOING)
        append_to_history({history, 'MAXLEN', n_kept}, boundary, number, entry)
    end
end

-- Adds the counts to the totals, with HMGET and HSET for many events at once. Lua numbers are exact below 2^53 only, so
-- larger ones take one HINCRBY each.
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

-- Updates the idle events: removes those with a counter, adds those whose counter is gone. Events that are idle for too
-- long leave the totals.
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
    local most = CHUNK + #absent_events  -- more than become idle in one interval
    for _, event in ipairs(redis.call('ZRANGEBYSCORE', idle, '-inf', before, 'LIMIT', 0, most)) do
        redis.call('ZREM', idle, event)
        if redis.call('SISMEMBER', cur_index, event) == 0 then
            try('HDEL', totals, event)
            try('HDEL', created, event)
        end
    end
end

-- 4. History and totals.
local number = try('INCR', finished)
if n_history == 0 then
    redis.call('UNLINK', history)
elseif number then
    add_to_history(number)
end
if adds_to_totals == 'off' then
    redis.call('DEL', totals, idle, totals_interval, created)
elseif adds_to_totals ~= 'other' then
    claim_totals()
    if try('GET', totals_interval) == adds_to_totals then
        add_to_totals()
        expire_totals()
    end
end
return {'rotated', now, until_next, start, seconds(boundary), obstacles}
