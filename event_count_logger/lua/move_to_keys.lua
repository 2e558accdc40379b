-- Move counts of one interval from the layout `hash` to `keys`; see docs/layouts.md.
--
-- KEYS[1]  set: IDs of the events that have a counter
-- KEYS[2]  hash: event ID -> count
-- KEYS[3]  hash: event ID -> all-time total
-- then one string per event: its count; the moved count is added to it
--
-- ARGV[1]  'totals' to subtract the counts from the totals, which do not include them in the new layout
-- then at most 1000 event IDs
--
-- Returns the keys that have an unexpected type; they are left unchanged. A count that was moved is deleted from the
-- hash, so that it is moved once.

local index, hash, totals, subtracts = KEYS[1], KEYS[2], KEYS[3], ARGV[1] == 'totals'
assert(#KEYS - 3 == #ARGV - 1, 'move_to_keys: KEYS do not match ARGV')
-- An unexpected type is an error before the first write.
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
            return moved  -- the server is out of memory; the key has the right type
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
