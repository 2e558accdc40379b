-- Read the counts of the running interval, of the last finished one, or of both, as of one moment.
--
-- KEYS[1]  string: start of the running interval, Unix seconds
-- KEYS[2]  string: start of the last finished interval, Unix seconds
-- then for each half that is read:
--   set: event IDs that have a counter in that half
--   string, one per event: its count in that half
--
-- ARGV[1]  now in milliseconds, or '' for the server's clock
-- then for each half: the number of its events, and their IDs
--
-- Returns {now in milliseconds, start of the running interval or '', start of the last or '',
-- and for each half a list: 'counts' and one count per event ('' where there is none), or
-- 'unnamed' and the event IDs that the set has besides: ask again with them}

local CHUNK = 1000  -- items in one command

local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local reply = {now, redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or ''}

local key, arg = 3, 2
while arg <= #ARGV do
    local n_events = tonumber(ARGV[arg])
    local named = {}
    for i = arg + 1, arg + n_events do
        named[ARGV[i]] = true
    end
    local unnamed = {'unnamed'}
    for _, event in ipairs(redis.call('SMEMBERS', KEYS[key])) do
        if not named[event] then
            unnamed[#unnamed + 1] = event
        end
    end
    if #unnamed > 1 then
        reply[#reply + 1] = unnamed
    else
        local counts = {'counts'}
        for first = 1, n_events, CHUNK do
            local keys_of_chunk = {unpack(KEYS, key + first, key + math.min(first + CHUNK - 1, n_events))}
            for _, value in ipairs(redis.call('MGET', unpack(keys_of_chunk))) do
                counts[#counts + 1] = value or ''
            end
        end
        reply[#reply + 1] = counts
    end
    key, arg = key + 1 + n_events, arg + 1 + n_events
end
assert(key == #KEYS + 1, 'read: KEYS do not fit ARGV')
return reply
