-- Add events to the index of an interval whose counters version 1.1 has made: it keeps no index.
--
-- KEYS[1]  set: event IDs that have a counter in this half of the interval
-- then one string per event: its count there
--
-- ARGV     the event IDs, at most a thousand
--
-- Returns how many were added: those that have a counter now.

assert(#KEYS == 1 + #ARGV, 'index: KEYS do not fit ARGV')
local found = {}
for i, value in ipairs(redis.call('MGET', unpack(KEYS, 2))) do
    if value and (value == '0' or string.match(value, '^%-?[1-9]%d*$')) then
        found[#found + 1] = ARGV[i]
    end
end
return #found > 0 and redis.call('SADD', KEYS[1], unpack(found)) or 0
