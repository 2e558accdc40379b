-- Add events to the set of an interval whose counters version 1.1 has made, because 1.1 keeps no set.
--
-- KEYS[1]  set: IDs of the events that have a counter in the current or last interval
-- then one string per event: its count there
--
-- ARGV     event IDs, at most 1000
--
-- Returns the number of events that were added, which are those that have a counter.

assert(#KEYS == 1 + #ARGV, 'index: KEYS do not match ARGV')
local found = {}
for i, value in ipairs(redis.call('MGET', unpack(KEYS, 2))) do
    if value and (value == '0' or string.match(value, '^%-?[1-9]%d*$')) then
        found[#found + 1] = ARGV[i]
    end
end
return #found > 0 and redis.call('SADD', KEYS[1], unpack(found)) or 0
