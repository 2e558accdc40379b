-- Move counts of one interval from the layout `keys` to `hash`; see docs/layouts.md.
--
-- KEYS[1]  set: IDs of the events that have a counter
-- KEYS[2]  hash: event ID -> count; the moved counts are added to it
-- KEYS[3]  hash: event ID -> all-time total
-- then one string per event: its count
--
-- ARGV[1]  'totals' to add the counts to the totals, because those do not include them yet
-- then at most 1000 event IDs
--
-- Returns the keys that have an unexpected type; they are left unchanged. A count that was moved is deleted from its
-- old key, so that it is moved once.

local index, hash, totals, adds = KEYS[1], KEYS[2], KEYS[3], ARGV[1] == 'totals'
assert(#KEYS - 3 == #ARGV - 1, 'move_to_hash: KEYS do not match ARGV')
-- An unexpected type is an error before the first write.
redis.call('SCARD', index)
redis.call('HLEN', hash)
redis.call('HLEN', totals)

local obstacles = {}
for i = 2, #ARGV do
    local event, key = ARGV[i], KEYS[2 + i]
    local value = redis.pcall('GET', key)
    local is_count = type(value) == 'string'
    local moved = not value or is_count and redis.pcall('HINCRBY', hash, event, value)
    if type(moved) == 'table' and string.find(moved.err, 'OOM') then
        return moved  -- the server is out of memory; the key has the right type
    end
    if type(moved) == 'table' or not moved then
        obstacles[#obstacles + 1] = key
    else
        local added = is_count and adds and redis.pcall('HINCRBY', totals, event, value)
        if type(added) == 'table' then
            obstacles[#obstacles + 1] = totals
        end
        redis.call('DEL', key)
        redis.call('SREM', index, event)
    end
end
return obstacles
