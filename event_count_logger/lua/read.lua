-- Read the counts of the running interval, of the last finished one, or of both, and the totals, as of one
-- moment.
--
-- KEYS[1]  string: start of the running interval, Unix seconds
-- KEYS[2]  string: start of the last finished interval, Unix seconds
-- KEYS[3]  stream: the finished intervals; see rotate.lua
-- KEYS[4]  hash: what each event has counted in the finished intervals since ever
-- KEYS[5]  string: the interval of the group whose counts are added to that
-- then for each half that is read:
--   set: event IDs that have a counter in that half
--   string, one per event: its count in that half
--
-- ARGV[1]  now in milliseconds, or '' for the server's clock
-- ARGV[2]  'all': of all events; 'named': only of those that are named
-- ARGV[3]  'totals' if they are read, too; of those named for the first half, if not of all
-- then for each half: 'last' or 'cur', the number of its events, and their IDs
--
-- Returns {now in milliseconds, start of the running interval or '', start of the last or '', interval of
-- the totals or '', totals or nothing, ...} and for each half a list:
--   counts   one count per event ('' where there is none)
--   unnamed  the event IDs that the set has besides: ask again with them
--   entry    the ID in the stream, and the event IDs and their counts as JSON, from the stream
--   many     nothing: there are so many that they have to be read some at a time
-- The totals are 'all', and event IDs, each followed by its count; or 'counts' or 'many', as for a half.

--!include clock
--!include reading

local CHUNK = 1000  -- items in one command

local now = milliseconds(ARGV[1])
local all = ARGV[2] == 'all'

local start, last_start = ask('GET', KEYS[1]) or '', ask('GET', KEYS[2]) or ''

-- What the command answers to all items of the list from first to last, a chunk at a time.
local function in_chunks(result, list, first, last, command, ...)
    for i = first, last, CHUNK do
        local arguments = {...}
        for j = i, math.min(i + CHUNK - 1, last) do
            arguments[#arguments + 1] = list[j]
        end
        for _, value in ipairs(ask(command, unpack(arguments))) do
            result[#result + 1] = value or ''
        end
    end
    return result
end

-- The last finished interval, if it is the newest one in the stream.
local function entry()
    local id, fields = last_entry(KEYS[3], start, last_start, 'events')
    return id and {'entry', id, fields[6], fields[8] or ''}
end

local function unnamed(index, first, last)
    local named, rest = {}, {'unnamed'}
    for i = first, last do
        named[ARGV[i]] = true
    end
    for _, event in ipairs(ask('SMEMBERS', index)) do
        if not named[event] then
            rest[#rest + 1] = event
        end
    end
    return #rest > 1 and rest or nil
end

local function half(name, index, first_key, first_arg, n_events)
    local from_entry = name == 'last' and all and entry()
    if from_entry then
        return from_entry
    elseif all and ask('SCARD', index) > MANY then
        return {'many'}
    end
    return all and unnamed(index, first_arg, first_arg + n_events - 1)
        or in_chunks({'counts'}, KEYS, first_key, first_key + n_events - 1, 'MGET')
end

local function totals()
    if ARGV[3] ~= 'totals' then
        return {}
    elseif not all then
        return in_chunks({'counts'}, ARGV, 6, 5 + tonumber(ARGV[5]), 'HMGET', KEYS[4])
    elseif ask('HLEN', KEYS[4]) > MANY then
        return {'many'}
    end
    local all_totals = ask('HGETALL', KEYS[4])
    table.insert(all_totals, 1, 'all')
    return all_totals
end

local totals_interval = ARGV[3] == 'totals' and ask('GET', KEYS[5])
local reply = {now, start, last_start, totals_interval or '', totals()}
local key, arg = 6, 4
while arg <= #ARGV do
    local n_events = tonumber(ARGV[arg + 1])
    reply[#reply + 1] = half(ARGV[arg], KEYS[key], key + 1, arg + 2, n_events)
    key, arg = key + 1 + n_events, arg + 2 + n_events
end
assert(key == #KEYS + 1, 'read: KEYS do not fit ARGV')
return reply
