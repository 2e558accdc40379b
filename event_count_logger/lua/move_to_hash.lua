-- Move counts of one interval from keys of their own into a hash; see docs/layouts.md.
--
-- KEYS[1]  set: event IDs that have a counter
-- KEYS[2]  hash: event ID -> count; they are added to what is there
-- KEYS[3]  hash: what each event has counted since ever
-- then one string per event: its count
--
-- ARGV[1]  'totals' if the totals do not have these counts yet
-- then at most 1000 event IDs
--
-- Returns the keys that hold something else than they should: they were left alone. What was moved is gone
-- from where it was, so that it is moved once.

local index, hash, totals, adds = KEYS[1], KEYS[2], KEYS[3], ARGV[1] == 'totals'
assert(#KEYS - 3 == #ARGV - 1, 'move_to_hash: KEYS do not fit ARGV')
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
        return moved -- the memory is full: nothing is wrong with the key
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
