-- Move counts of one interval from a hash to keys of their own; see docs/layouts.md.
--
-- KEYS[1]  set: event IDs that have a counter
-- KEYS[2]  hash: event ID -> count
-- KEYS[3]  hash: what each event has counted since ever
-- then one string per event: its count; they are added to what is there
--
-- ARGV[1]  'totals' if the totals are to be without these counts from now on
-- then at most 1000 event IDs
--
-- Returns the keys that hold something else than they should: they were left alone. What was moved is gone
-- from where it was, so that it is moved once.

local index, hash, totals, subtracts = KEYS[1], KEYS[2], KEYS[3], ARGV[1] == 'totals'
assert(#KEYS - 3 == #ARGV - 1, 'move_to_keys: KEYS do not fit ARGV')
redis.call('SCARD', index)
redis.call('HLEN', hash)
redis.call('HLEN', totals)

local obstacles = {}
for i = 2, #ARGV do
    local event, key = ARGV[i], KEYS[2 + i]
    local value = redis.call('HGET', hash, event)
    if value then
        local moved = redis.pcall('INCRBY', key, value)
        if type(moved) == 'table' and string.find(moved.err, 'OOM') then
            return moved -- the memory is full: nothing is wrong with the key
        end
        if type(moved) == 'table' then
            obstacles[#obstacles + 1] = key
        else
            local negative = value == '0' and value or string.gsub('-' .. value, '^%-%-', '')
            local left = subtracts and redis.pcall('HINCRBY', totals, event, negative)
            if type(left) == 'table' then
                obstacles[#obstacles + 1] = totals
            elseif left == 0 then
                redis.call('HDEL', totals, event)
            end
            redis.call('SADD', index, event)
            redis.call('HDEL', hash, event)
        end
    end
end
return obstacles
