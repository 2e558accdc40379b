-- Read the counts of the current interval, of the last one, or of both, and the totals, as one snapshot, in the
-- layout `keys`.
--
-- KEYS[1]  string: start of the current interval, Unix seconds
-- KEYS[2]  string: start of the last interval, Unix seconds
-- KEYS[3]  stream: history of finished intervals; see rotate.lua
-- KEYS[4]  hash: event ID -> total of its counts in finished intervals
-- KEYS[5]  string: name of the interval that adds to KEYS[4]
-- then for each half to read, 'last' or 'cur':
--          set: IDs of the events that have a counter in that half
--          one string per event: its count in that half
--
-- ARGV[1]  now in milliseconds, or '' for the server's clock
-- ARGV[2]  'all' to read all events, 'named' to read only the events named below
-- ARGV[3]  'totals' to read the totals, too: of all events, or of the events named for the first half
-- then for each half: 'last' or 'cur'; the number of its events; their IDs
--
-- Returns {now in milliseconds, start of the current interval or '', start of the last one or '', interval that
-- adds to the totals or '', totals, one list per half ...}. The first item of a list says what follows:
--
--   counts   one count per named event, '' where there is none
--   unnamed  IDs of further events in the set; the caller asks again and names them
--   entry    ID in the stream; event IDs and their counts as JSON, both from the stream
--   many     nothing: the events are too many for one script; the caller reads them page by page
--
-- The totals are 'counts' or 'many' as above, or 'all' and then event ID, total of each event, or an empty list.

--!include clock
--!include reading

local CHUNK = 1000  -- items in one command

local now = milliseconds(ARGV[1])
local all, wants_totals = ARGV[2] == 'all', ARGV[3] == 'totals'

local start, last_start = ask('GET', KEYS[1]) or '', ask('GET', KEYS[2]) or ''

-- Calls a command with the items first to last of a list, a chunk at a time, and appends the replies to result.
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

-- Returns the last interval as 'entry' if the stream has it, else nil.
local function entry()
    local id, fields = last_entry(KEYS[3], start, last_start, 'events')
    return id and {'entry', id, fields[6], fields[8] or ''}
end

-- Returns the events that are in the set but not in ARGV as 'unnamed', or nil.
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

-- Returns the list of one half.
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

-- Returns the totals.
local function totals()
    if not wants_totals then
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

local totals_interval = wants_totals and ask('GET', KEYS[5])
local reply = {now, start, last_start, totals_interval or '', totals()}
local key, arg = 6, 4
while arg <= #ARGV do
    local n_events = tonumber(ARGV[arg + 1])
    reply[#reply + 1] = half(ARGV[arg], KEYS[key], key + 1, arg + 2, n_events)
    key, arg = key + 1 + n_events, arg + 2 + n_events
end
assert(key == #KEYS + 1, 'read: KEYS do not match ARGV')
return reply
