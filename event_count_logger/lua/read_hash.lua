-- Read the counts of the running interval, of the last finished one, or of both, and the totals, as of one
-- moment, where the counts of each are in one hash.
--
-- KEYS[1]  string: start of the running interval, Unix seconds
-- KEYS[2]  string: start of the last finished interval, Unix seconds
-- KEYS[3]  stream: the finished intervals; see rotate_hash.lua
-- then the hashes of event ID -> count that are to be read
--
-- ARGV[1]  now in milliseconds, or '' for the server's clock
--
-- Returns {now in milliseconds, start of the running interval or '', start of the last or '', ID of the last
-- one in the stream or '' if it is not there, ...} and for each hash a list:
--   counts   event IDs, each followed by its count
--   many     nothing: there are so many that they have to be read some at a time

local MANY = 10000  -- reading more events at once keeps the server from others for too long

local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
assert(#KEYS >= 3 and #ARGV == 1, 'read_hash: KEYS or ARGV are missing')

-- What the command answers; an error names the key.
local function ask(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
        error(key .. ': ' .. answer.err, 0)
    end
    return answer
end

local start, last_start = ask('GET', KEYS[1]) or '', ask('GET', KEYS[2]) or ''

local function id_of_last()
    local newest = redis.pcall('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
    if type(newest) == 'table' and newest[2][2] == last_start and newest[2][4] == start then
        return newest[1]
    end
    return ''
end

local reply = {now, start, last_start, id_of_last()}
for i = 4, #KEYS do
    if ask('HLEN', KEYS[i]) > MANY then
        reply[i + 1] = {'many'}
    else
        reply[i + 1] = ask('HGETALL', KEYS[i])
        table.insert(reply[i + 1], 1, 'counts')
    end
end
return reply
