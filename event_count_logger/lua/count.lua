-- Part of commit.lua for the layout `keys`: adds a whole batch of counts, or nothing.

--!include clock
--!include boundary

local CHUNK = 1000  -- items in one command

-- Returns true if counting takes that number of keys.
local function keys_match(n_keys, n_intervals, n_events)
    local n_counting = n_intervals * (2 + n_events)
    return n_keys == n_counting or n_keys == n_counting + 2
end

-- Returns the keys, from keys[first] on, of the events with these numbers only.
local function keys_of(keys, first, n_intervals, n_events, numbers)
    local some = {}
    local after = first + n_intervals * (2 + n_events)
    for index = first + 1, after - 1, 2 + n_events do
        some[#some + 1], some[#some + 2] = keys[index - 1], keys[index]
        for _, number in ipairs(numbers) do
            some[#some + 1] = keys[index + number]
        end
    end
    some[#some + 1], some[#some + 2] = keys[after], keys[after + 1]
    return some
end

-- Adds a batch to every interval of a group.
--
-- keys   from keys[first] on, for each interval:
--          string: its start; set here if missing
--          set: IDs of the events that have a counter; called keys[index] below
--          one string per event: its count, keys[index + 1] to keys[index + n_events]
--        then, to note the time at which a total begins:
--          hash: event ID -> total of its counts in finished intervals
--          hash: event ID -> time of its first count, Unix seconds
-- words  words[at] is the number of events; then the event IDs; then their counts; then the number of
--        intervals; then the length of each, as in boundary.lua
-- now    in milliseconds
--
-- Returns nil on success. On an error it undoes the batch and returns a list of event ID, key and error for each
-- key that cannot be written.
local function count(keys, first, words, at, now)
    local try, type = redis.pcall, type  -- locals are faster than globals
    local n_events = tonumber(words[at])
    local before_counts = at + n_events
    local before_lengths = before_counts + n_events + 1
    local keys_per_interval = 2 + n_events
    local after = first + tonumber(words[before_lengths]) * keys_per_interval  -- index of the key behind the intervals
    if n_events == 0 then
        return nil
    end

    -- What to undo after an error.
    local failed = false
    local answers = {}  -- by index in keys: the reply of SETNX or INCRBY; for a set, its error
    local added = {}  -- by index of a set in keys: the events that were added to the set

    -- Starts of the intervals. Mostly all exist, and one command shows it.
    local starts = {}
    for i = first, after - 1, keys_per_interval do
        starts[#starts + 1] = keys[i]
    end
    if try('EXISTS', unpack(starts)) ~= #starts then
        for interval, start in ipairs(starts) do
            local answer = try('SETNX', start, seconds((boundary_of(words[before_lengths + interval], now))))
            answers[first + (interval - 1) * keys_per_interval] = answer
            failed = failed or type(answer) == 'table'
        end
    end

    -- Sets of event IDs, then counters.
    for index = first + 1, after - 1, keys_per_interval do
        -- Most commits hold one event that is in the set; SISMEMBER answers faster than SMISMEMBER.
        local known = n_events == 1 and try('SISMEMBER', keys[index], words[at + 1]) == 1
        for from = known and 2 or 1, n_events, CHUNK do
            local to = math.min(from + CHUNK - 1, n_events)
            local answer = try('SMISMEMBER', keys[index], unpack(words, at + from, at + to))
            local new
            for i = 1, #answer do
                if answer[i] == 0 then
                    new = new or {}
                    new[#new + 1] = words[at + from + i - 1]
                end
            end
            if new then
                answer = try('SADD', keys[index], unpack(new))
                added[index] = added[index] or {}
                for _, event in ipairs(new) do
                    added[index][event] = true
                end
            end
            if type(answer) == 'table' and answer.err then
                answers[index], failed = answer, true
                break
            end
        end
        for i = 1, answers[index] and 0 or n_events do
            local answer = try('INCRBY', keys[index + i], words[before_counts + i])
            answers[index + i] = answer
            failed = failed or type(answer) == 'table'
        end
    end

    if not failed and keys[after] and added[first + 1] then
        -- Note the time of each event whose total began with this batch: none of its counters existed before, although
        -- a program that keeps no set may have made them, and it has no total of earlier intervals.
        local new = {}
        for i = 1, n_events do
            local event, n, is_new = words[at + i], tonumber(words[before_counts + i]), true
            for index = first + 1, after - 1, keys_per_interval do
                is_new = is_new and added[index] and added[index][event] and answers[index + i] == n
            end
            new[#new + 1] = is_new and event or nil
        end
        for from = 1, #new, CHUNK do
            local some, times = {unpack(new, from, math.min(from + CHUNK - 1, #new))}, {}
            local totals, noted = try('HMGET', keys[after], unpack(some)), try('HMGET', keys[after + 1], unpack(some))
            for i, event in ipairs(some) do
                if totals[i] == false and noted[i] == false then
                    times[#times + 1], times[#times + 2] = event, seconds(now)
                end
            end
            if #times > 0 then
                try('HSET', keys[after + 1], unpack(times))
            end
        end
    end
    if not failed then
        return nil
    end

    -- Undo: delete starts that were set, subtract counts, take events out of the sets.
    local obstacles = {}
    for index = first + 1, after - 1, keys_per_interval do
        local new = added[index] or {}
        for i = index - 1, index + n_events do
            local answer, event = answers[i], i > index and words[at + i - index] or ''
            if type(answer) == 'table' then
                for _, word in ipairs({event, keys[i], answer.err}) do
                    obstacles[#obstacles + 1] = word
                end
            elseif i < index and answer == 1 then
                try('DEL', keys[i])
            elseif i > index and answer then
                local before = try('DECRBY', keys[i], words[before_counts + i - index])
                -- Delete only a counter that this batch has made: a program that keeps no set may have made others.
                if before == 0 and new[event] then
                    try('DEL', keys[i])
                end
            end
        end
        for event in pairs(new) do
            try('SREM', keys[index], event)
        end
    end
    return obstacles
end
