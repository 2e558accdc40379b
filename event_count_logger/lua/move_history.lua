-- Move one finished interval to the history of the other layout. When none is left, the new history replaces the
-- old one.
--
-- KEYS[1]  stream: finished intervals in the old layout
-- KEYS[2]  stream: finished intervals in the new layout
-- KEYS[3]  string: ID of the interval whose counts are in the hash of the last one; see rotate_hash.lua
-- KEYS[4]  hash: counts of the interval
--
-- ARGV[1]  ID of the interval in both streams
-- ARGV[2]  'keys' if the new layout is `keys`: then KEYS[4] is deleted, and KEYS[3] if it holds this ID
-- then the fields that the new layout has besides start and end: names, each followed by its value
--
-- Returns nothing.

assert(#KEYS == 4 and #ARGV >= 4, 'move_history: KEYS or ARGV are missing')
local from, to, last_id, hash = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, new_layout = ARGV[1], ARGV[2]

local fields = redis.call('XRANGE', from, id, id)[1][2]
redis.call('XADD', to, id, 'start', fields[2], 'end', fields[4], unpack(ARGV, 3))
redis.call('XDEL', from, id)
if new_layout == 'keys' then
    redis.call('UNLINK', hash)
    if redis.call('GET', last_id) == id then
        redis.call('DEL', last_id)
    end
end
if redis.call('XLEN', from) == 0 then
    redis.call('UNLINK', from)
    redis.call('RENAME', to, from)
end
