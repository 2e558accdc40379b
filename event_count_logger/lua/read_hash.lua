-- Read the counts of the running interval, of the last finished one, or of both, and the totals, as of one
-- moment, where the counts of each are in one hash.
--
-- KEYS[1]  string: start of the running interval, Unix seconds
-- KEYS[2]  string: start of the last finished interval, Unix seconds
-- KEYS[3]  stream: the finished intervals; see rotate_hash.lua
-- then the hashes of event ID -> count that are to be read
--
-- ARGV[1]  now in milliseconds, or '' for the server's clock
-- ARGV[2]  'last' if the ID of the last finished interval is wanted
--
-- Returns {now in milliseconds, start of the running interval or '', start of the last or '', ID of the last
-- one in the stream or '' if it is not there, ...} and for each hash a list:
--   counts   event IDs, each followed by its count
--   many     nothing: there are so many that they have to be read some at a time

--!include clock
--!include reading

assert(#KEYS >= 3 and #ARGV == 2, 'read_hash: KEYS or ARGV are missing')
local now = milliseconds(ARGV[1])
local start, last_start = ask('GET', KEYS[1]) or '', ask('GET', KEYS[2]) or ''
local id = ARGV[2] == 'last' and last_entry(KEYS[3], start, last_start, 'number')

local reply = {now, start, last_start, id or ''}
for i = 4, #KEYS do
    if ask('HLEN', KEYS[i]) > MANY then
        reply[i + 1] = {'many'}
    else
        reply[i + 1] = ask('HGETALL', KEYS[i])
        table.insert(reply[i + 1], 1, 'counts')
    end
end
return reply
