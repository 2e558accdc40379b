-- Part of commit.lua: counting, for a whole batch or not at all.

local CHUNK = 1000  -- items in one command

-- Adds counts to every interval of a group, whose keys are those from KEYS[first] to the last.
--
-- names    event IDs, in the order of their keys
-- counts   the count of each, as a string; where it is nil nothing is to be counted
-- lengths  list in which the length of each interval in milliseconds comes after the first `before_lengths` items
-- now      in milliseconds
--
-- Returns nil, or a list of event ID, key and error for each key that is in the way; then nothing has changed.
local function count(first, names, counts, lengths, before_lengths, now)
    local KEYS, try, type = KEYS, redis.pcall, type  -- a local is found faster than a global
    local keys_per_interval = 2 + #names

    local some, some_names = {}, {}  -- the numbers and the names of those that have a count
    for i = 1, #names do
        if counts[i] then
            some[#some + 1], some_names[#some + 1] = i, names[i]
        end
    end
    if #some == 0 then
        return nil
    end

    -- What was done, should it have to be undone.
    local failed = false
    local answers = {}  -- what KEYS[i] answered to being set or incremented; for a set, its error
    local added = {}  -- the events that were added to the set KEYS[i]

    local starts = {}
    for i = first, #KEYS, keys_per_interval do
        starts[#starts + 1] = KEYS[i]
    end
    if try('EXISTS', unpack(starts)) ~= #starts then
        for interval, start in ipairs(starts) do
            local start_ms = now - now % tonumber(lengths[before_lengths + interval])
            local seconds = string.format(start_ms % 1000 == 0 and '%d' or '%.3f', start_ms / 1000)
            local answer = try('SETNX', start, seconds)
            answers[first + (interval - 1) * keys_per_interval] = answer
            failed = failed or type(answer) == 'table'
        end
    end

    for index = first + 1, #KEYS, keys_per_interval do
        -- The answer to this is made faster than a list, and it is what most commits are about.
        local known = #some == 1 and try('SISMEMBER', KEYS[index], some_names[1]) == 1
        for from = known and 2 or 1, #some, CHUNK do
            local to = math.min(from + CHUNK - 1, #some)
            local answer = try('SMISMEMBER', KEYS[index], unpack(some_names, from, to))
            local new
            for i = 1, #answer do
                if answer[i] == 0 then
                    new = new or {}
                    new[#new + 1] = some_names[from + i - 1]
                end
            end
            if new then
                answer = try('SADD', KEYS[index], unpack(new))
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
        for i = 1, answers[index] and 0 or #some do
            local answer = try('INCRBY', KEYS[index + some[i]], counts[some[i]])
            answers[index + some[i]] = answer
            failed = failed or type(answer) == 'table'
        end
    end

    if not failed then
        return nil
    end
    local obstacles = {}
    for index = first + 1, #KEYS, keys_per_interval do
        local new = added[index] or {}
        for i = index - 1, index + #names do
            local answer, event = answers[i], i > index and names[i - index] or ''
            if type(answer) == 'table' then
                for _, word in ipairs({event, KEYS[i], answer.err}) do
                    obstacles[#obstacles + 1] = word
                end
            elseif i < index and answer == 1 then
                try('DEL', KEYS[i])
            elseif i > index and answer then
                local before = try('DECRBY', KEYS[i], counts[i - index])
                if before == 0 and new[event] then  -- else a program that keeps no index has counted it
                    try('DEL', KEYS[i])
                end
            end
        end
        for event in pairs(new) do
            try('SREM', KEYS[index], event)
        end
    end
    return obstacles
end
