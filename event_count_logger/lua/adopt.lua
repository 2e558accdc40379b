-- Let another interval of a group add to its totals, because the one that does so is no longer in use.
-- The all-time total of each event stays the same: its stored total plus its count in the current interval.
--
-- KEYS[1]  string: name of the interval that adds to the totals
-- KEYS[2]  hash: event ID -> total of its counts in finished intervals
-- KEYS[3]  sorted set: idle events; see rotate.lua
-- then one string per event: its count in the current interval of the old name
-- then one string per event: its count in the current interval of the new name
--
-- ARGV[1]  old name: the interval that has added to the totals until now
-- ARGV[2]  new name: the interval that adds to them from now on
-- then the event IDs
--
-- Returns 1 if the new interval has taken over. Returns 0, and changes nothing, if another interval than
-- ARGV[1] adds to the totals.

local old_interval, new_interval, n_events = ARGV[1], ARGV[2], #ARGV - 2
assert(#KEYS == 3 + 2 * n_events, 'adopt: KEYS do not match ARGV')

if redis.call('GET', KEYS[1]) ~= old_interval then
    return 0
end
redis.call('SET', KEYS[1], new_interval)

-- all-time total = stored total + current count. The current count changes from the old interval's to the new
-- one's, so the stored total changes by the difference.
for i = 1, n_events do
    local event = ARGV[2 + i]
    local old_count = redis.pcall('GET', KEYS[3 + i])
    local new_count = redis.pcall('GET', KEYS[3 + n_events + i])
    if type(old_count) == 'string' then
        redis.pcall('HINCRBY', KEYS[2], event, old_count)
    end
    if type(new_count) == 'string' then
        local negative = string.gsub('-' .. new_count, '^%-%-', '')
        redis.pcall('HINCRBY', KEYS[2], event, negative)
    else
        redis.call('ZADD', KEYS[3], redis.call('TIME')[1], event)
    end
end
return 1
