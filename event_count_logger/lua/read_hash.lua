-- Read the counts of the current interval, of the last one, or of both, and the totals, as one snapshot, in the
-- layout `hash`.
--
-- KEYS[1]  string: start of the current interval, Unix seconds
-- KEYS[2]  string: start of the last interval, Unix seconds
-- KEYS[3]  stream: history of finished intervals; see rotate_hash.lua
-- then the hashes to read, event ID -> count
--
-- ARGV[1]  now in milliseconds, or '' for the server's clock
-- ARGV[2]  'last' to return the ID of the last interval
--
-- Returns {now in milliseconds, start of the current interval or '', start of the last one or '', ID of the last
-- one or '' if the stream does not have it, one list per hash ...}. The first item of a list says what follows:
--
--   counts   event ID, count of each event
--   many     nothing: the events are too many for one script; the caller reads them page by page

--!include clock
--!include reading

assert(#KEYS >= 3 and #ARGV == 2, 'read_hash: KEYS or ARGV are missing')
local now, wants_id = milliseconds(ARGV[1]), ARGV[2] == 'last'
local start, last_start = ask('GET', KEYS[1]) or '', ask('GET', KEYS[2]) or ''
local id = wants_id and last_entry(KEYS[3], start, last_start, 'number')

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
