-- Move one finished interval to the stream that takes the place of the history; with the last one, it does.
--
-- KEYS[1]  stream: the finished intervals, as one layout has them
-- KEYS[2]  stream: the finished intervals, as the other layout has them
-- KEYS[3]  hash: counts of the interval, which is deleted if the other layout does not need it
--
-- ARGV[1]  ID of the interval in both; '' if there is none left
-- ARGV[2]  'delete' if the hash is to be deleted
-- then what the other layout notes besides start and end: names, each followed by its value
--
-- Returns 1 if the history is complete, 0 otherwise.

assert(#KEYS == 3 and #ARGV >= 2, 'move_history: KEYS or ARGV are missing')
local from, to, hash, id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]

local entry = id ~= '' and redis.call('XRANGE', from, id, id)[1]
if entry then
    local fields = entry[2]
    redis.call('XADD', to, id, 'start', fields[2], 'end', fields[4], unpack(ARGV, 3))
    redis.call('XDEL', from, id)
    if ARGV[2] == 'delete' then
        redis.call('UNLINK', hash)
    end
end
if redis.call('XLEN', from) > 0 or redis.call('EXISTS', to) == 0 then
    return 0
end
redis.call('UNLINK', from)
redis.call('RENAME', to, from)
return 1
