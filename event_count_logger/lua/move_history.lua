-- Move one finished interval to the stream that takes the place of the history; with the last one, it does.
--
-- KEYS[1]  stream: the finished intervals, as one layout has them
-- KEYS[2]  stream: the finished intervals, as the other layout has them
-- KEYS[3]  string: the ID of the interval whose counts are in the hash of the last one; see rotate_hash.lua
-- KEYS[4]  hash: counts of the interval
--
-- ARGV[1]  ID of the interval in both
-- ARGV[2]  'keys' if counts are not in hashes any more: then KEYS[4], and KEYS[3] if it is this one, are deleted
-- then what the other layout notes besides start and end: names, each followed by its value
--
-- Returns nothing.

assert(#KEYS == 4 and #ARGV >= 4, 'move_history: KEYS or ARGV are missing')
local from, to, last_id, hash, id = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]

local fields = redis.call('XRANGE', from, id, id)[1][2]
redis.call('XADD', to, id, 'start', fields[2], 'end', fields[4], unpack(ARGV, 3))
redis.call('XDEL', from, id)
if ARGV[2] == 'keys' then
    redis.call('UNLINK', hash)
    if redis.call('GET', last_id) == id then
        redis.call('DEL', last_id)
    end
end
if redis.call('XLEN', from) == 0 then
    redis.call('UNLINK', from)
    redis.call('RENAME', to, from)
end
