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

local sources, source, prev, next = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local n_events = tonumber(ARGV[5])
local first_count = 5 + n_events
local first_length = first_count + n_events
local n_intervals = #ARGV - first_length
assert(#KEYS == 1 + n_intervals * (2 + n_events), 'commit: KEYS do not fit ARGV')

local now = tonumber(ARGV[4])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local undo, refused = {}, {}

-- One command; when it fails its key is noted and nil returned.
local function try(event, command, key, ...)
    local reply = redis.pcall(command, key, ...)
    if type(reply) == 'table' and reply.err then
        for _, word in ipairs({event, key, reply.err}) do
            refused[#refused + 1] = word
        end
        return nil
    end
    return reply
end

local function undo_with(...)
    undo[#undo + 1] = {...}
end

local function seconds(ms)
    return string.format(ms % 1000 == 0 and '%d' or '%.3f', ms / 1000)
end

-- For each event, 1 if it is in the set and 0 if not; nil if there are none, or if it is no set.
local function are_members(index)
    local answers = {}
    for first = 1, n_events, CHUNK do
        local last = math.min(first + CHUNK - 1, n_events)
        local chunk = try('', 'SMISMEMBER', index, unpack(ARGV, 5 + first, 5 + last))
        if not chunk then
            return nil
        end
        for _, answer in ipairs(chunk) do
            answers[#answers + 1] = answer
        end
    end
    return n_events > 0 and answers or nil
end

local stored = try('', 'HGET', sources, source)
if #refused > 0 then
    return {'refused', now, refused, source, next}
elseif stored == next then
    return {'duplicate', now, stored, source, next}
elseif stored and stored ~= prev then
    return {'conflict', now, stored, source, next}
end

-- The first write: where the server is out of memory, it refuses here, and only here.
if not try('', 'HSET', sources, source, next) then
    return {'refused', now, refused, source, next}
elseif stored then
    undo_with('HSET', sources, source, stored)
else
    undo_with('HDEL', sources, source)
end

for interval = 1, n_intervals do
    local base = 1 + (interval - 1) * (2 + n_events)
    local timestamp, index = KEYS[base + 1], KEYS[base + 2]
    local length = tonumber(ARGV[first_length + interval])
    local indexed = are_members(index)
    if indexed and try('', 'SETNX', timestamp, seconds(now - now % length)) == 1 then
        undo_with('DEL', timestamp)
    end
    for i = 1, indexed and n_events or 0 do
        local event, count, key = ARGV[5 + i], ARGV[first_count + i], KEYS[base + 2 + i]
        local sum = try(event, 'INCRBY', key, count)
        if sum and indexed[i] == 1 then
            undo_with('DECRBY', key, count)
        elseif sum then
            -- Not there before, or incremented by a program that keeps no index.
            undo_with(sum == tonumber(count) and 'DEL' or 'DECRBY', key, sum ~= tonumber(count) and count or nil)
            if try('', 'SADD', index, event) then
                undo_with('SREM', index, event)
            end
        end
    end
end

if #refused > 0 then
    for i = #undo, 1, -1 do
        redis.pcall(unpack(undo[i]))
    end
    return {'refused', now, refused, source, next}
end
return {'applied', now, stored or '', source, next}
