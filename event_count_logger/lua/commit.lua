-- Add a batch of counts to every interval of a group, exactly once.
--
-- KEYS[1]  hash: source ID -> last committed position
-- then for each interval:
--   string: start of the running interval, Unix seconds (set if missing)
--   set: event IDs that have a counter in the running interval
--   string, one per event: its count in the running interval
--
-- ARGV[1]  source ID
-- ARGV[2]  position that the source is expected at ("prev")
-- ARGV[3]  position that the batch takes it to ("next")
-- ARGV[4]  now in milliseconds, or '' for the server's clock
-- ARGV[5]  number of events; then the event IDs, then their counts,
-- then the length of each interval in milliseconds
--
-- Returns {outcome, now in milliseconds, ..., source ID, next}, the last two so that it is clear which
-- request this answers:
--   applied    stored position before ('' if there was none): the batch was counted
--   duplicate  stored position: it had been counted before; nothing changed
--   conflict   stored position: the source is somewhere else; nothing changed
--   refused    list of event ID, key, error for each key that is in the way; nothing
--              changed. The event ID is '' where the key concerns the whole batch.

local CHUNK = 1000  -- items in one command

local KEYS, ARGV, try, type = KEYS, ARGV, redis.pcall, type  -- a local is found faster than a global
local sources, source, prev, next = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local n_events = tonumber(ARGV[5])
local first_count = 5 + n_events
local first_length = first_count + n_events
local n_intervals = #ARGV - first_length
local keys_per_interval = 2 + n_events
assert(#KEYS == 1 + n_intervals * keys_per_interval, 'commit: KEYS do not fit ARGV')

local now = tonumber(ARGV[4])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What `try` returns in place of an answer is a table with the field err.
local stored = try('HGET', sources, source)
if type(stored) == 'table' then
    return {'refused', now, {'', sources, stored.err}, source, next}
elseif stored == next then
    return {'duplicate', now, stored, source, next}
elseif stored and stored ~= prev then
    return {'conflict', now, stored, source, next}
end

-- The first write: where the server is out of memory, it refuses here, and only here.
local moved = try('HSET', sources, source, next)
if type(moved) == 'table' then
    return {'refused', now, {'', sources, moved.err}, source, next}
elseif n_events == 0 then
    return {'applied', now, stored or '', source, next}
end

-- What was done, should it have to be undone.
local failed = false
local answers = {}  -- what KEYS[i] answered to being set or incremented; for a set, its error
local added = {}  -- the events that were added to the set KEYS[i]

local starts = {}
for i = 2, #KEYS, keys_per_interval do
    starts[#starts + 1] = KEYS[i]
end
if try('EXISTS', unpack(starts)) ~= n_intervals then
    for interval, start in ipairs(starts) do
        local start_ms = now - now % tonumber(ARGV[first_length + interval])
        local seconds = string.format(start_ms % 1000 == 0 and '%d' or '%.3f', start_ms / 1000)
        local answer = try('SETNX', start, seconds)
        answers[2 + (interval - 1) * keys_per_interval] = answer
        failed = failed or type(answer) == 'table'
    end
end

for index = 3, #KEYS, keys_per_interval do
    -- The answer to this is made faster than a list, and it is what most commits are about.
    local known = n_events == 1 and try('SISMEMBER', KEYS[index], ARGV[6]) == 1
    for first = known and 2 or 1, n_events, CHUNK do
        local last = math.min(first + CHUNK - 1, n_events)
        local answer = try('SMISMEMBER', KEYS[index], unpack(ARGV, 5 + first, 5 + last))
        local new
        for i = 1, #answer do
            if answer[i] == 0 then
                new = new or {}
                new[#new + 1] = ARGV[4 + first + i]
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
    for i = 1, answers[index] and 0 or n_events do
        local answer = try('INCRBY', KEYS[index + i], ARGV[first_count + i])
        answers[index + i] = answer
        failed = failed or type(answer) == 'table'
    end
end

if not failed then
    return {'applied', now, stored or '', source, next}
end

local refused = {}
for index = 3, #KEYS, keys_per_interval do
    local new = added[index] or {}
    for i = index - 1, index + n_events do
        local answer, event = answers[i], i > index and ARGV[5 + i - index] or ''
        if type(answer) == 'table' then
            for _, word in ipairs({event, KEYS[i], answer.err}) do
                refused[#refused + 1] = word
            end
        elseif i < index and answer == 1 then
            try('DEL', KEYS[i])
        elseif i > index and answer then
            local before = try('DECRBY', KEYS[i], ARGV[first_count + i - index])
            if before == 0 and new[event] then  -- else a program that keeps no index has counted it
                try('DEL', KEYS[i])
            end
        end
    end
    for event in pairs(new) do
        try('SREM', KEYS[index], event)
    end
end
if stored then
    try('HSET', sources, source, stored)
else
    try('HDEL', sources, source)
end
return {'refused', now, refused, source, next}
