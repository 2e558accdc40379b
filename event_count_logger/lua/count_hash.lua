-- Part of commit.lua for the layout `hash`: adds a whole batch of counts, or nothing.

--!include clock
--!include boundary

local CHUNK = 1000  -- items in one command

-- Returns true if counting takes that number of keys.
local function keys_match(n_keys, n_intervals, n_events)
    return n_keys >= 2 * n_intervals and n_keys <= 2 * n_intervals + 2
end

-- Returns the keys from keys[first] on: a hash holds any events.
local function keys_of(keys, first, n_intervals, n_events, numbers)
    return {unpack(keys, first)}
end

-- Adds a batch to every interval of a group, and to the totals.
--
-- keys   from keys[first] on, for each interval:
--          string: its start; set here if missing
--          hash: event ID -> count
--        then, if the group has totals, hash: event ID -> all-time total
--        then, to note the time at which a total begins, hash: event ID -> time of its first count, Unix seconds
-- words  words[at] is the number of events; then the event IDs; then their counts; then the number of
--        intervals; then the length of each, as in boundary.lua
-- now    in milliseconds
--
-- Returns nil on success. On an error it undoes the batch and returns a list of event ID, key and error for each
-- count that cannot be changed. The event ID is '' where the key itself cannot be written.
local function count(keys, first, words, at, now)
    local try, type = redis.pcall, type  -- locals are faster than globals
    local n_events = tonumber(words[at])
    local before_counts = at + n_events
    local before_lengths = before_counts + n_events + 1
    local n_intervals = tonumber(words[before_lengths])
    if n_events == 0 then
        return nil
    end

    local obstacles = {}
    local function is_error(event, key, answer)
        if type(answer) ~= 'table' or not answer.err then
            return false
        end
        for _, word in ipairs({event, key, answer.err}) do
            obstacles[#obstacles + 1] = word
        end
        return true
    end

    -- Starts of the intervals. Mostly all exist, and one command shows it.
    local starts, hashes = {}, {}
    for i = 1, n_intervals do
        starts[i], hashes[i] = keys[first + 2 * i - 2], keys[first + 2 * i - 1]
    end
    hashes[#hashes + 1] = keys[first + 2 * n_intervals]

    local started = {}
    if try('EXISTS', unpack(starts)) ~= #starts then
        for i, start in ipairs(starts) do
            local answer = try('SETNX', start, seconds((boundary_of(words[before_lengths + i], now))))
            if not is_error('', start, answer) and answer == 1 then
                started[#started + 1] = start
            end
        end
    end

    -- Returns the counts of all events in a hash. They are read before the first one is added, because one batch
    -- may name an event twice.
    local function values_in(hash)
        local values = {}
        for from = 1, n_events, CHUNK do
            local to = math.min(from + CHUNK - 1, n_events)
            local some = try('HMGET', hash, unpack(words, at + from, at + to))
            if is_error('', hash, some) then
                return nil
            end
            for i = from, to do
                values[i] = some[i - from + 1]
            end
        end
        return values
    end

    local before = {}  -- by hash: the counts before the batch
    local added = {}  -- by hash: true for each count that was added to
    for number, hash in ipairs(hashes) do
        before[number], added[number] = values_in(hash), {}
        for i = 1, before[number] and n_events or 0 do
            local answer = try('HINCRBY', hash, words[at + i], words[before_counts + i])
            added[number][i] = not is_error(words[at + i], hash, answer)
        end
    end
    local created = keys[first + 2 * n_intervals + 1]
    for from = 1, created and #obstacles == 0 and n_events or 0, CHUNK do
        local times = {}
        for i = from, math.min(from + CHUNK - 1, n_events) do
            if not before[#hashes][i] then  -- its total began with this batch
                times[#times + 1], times[#times + 2] = words[at + i], seconds(now)
            end
        end
        if #times > 0 then
            try('HSET', created, unpack(times))
        end
    end
    if #obstacles == 0 then
        return nil
    end

    -- Undo: restore counts, delete starts that were set.
    for number, hash in ipairs(hashes) do
        for i in pairs(added[number]) do
            local value = before[number][i]
            if added[number][i] and value then
                try('HSET', hash, words[at + i], value)
            elseif added[number][i] then
                try('HDEL', hash, words[at + i])
            end
        end
    end
    for _, start in ipairs(started) do
        try('DEL', start)
    end
    return obstacles
end
