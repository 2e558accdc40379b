-- Let another interval of a group add to its totals, because the one that did is not in use any more.
-- What an event has counted since ever, its stored total and its running count, stays the same.
--
-- KEYS[1]  string: the interval of the group whose counts are added to the totals
-- KEYS[2]  hash: what each event has counted in the finished intervals since ever
-- KEYS[3]  sorted set: event IDs that have a total and are not in use; see rotate.lua
-- then one string per event: its count in the running interval of the one that added to the totals,
-- then one string per event: its count in the running interval of the new one
--
-- ARGV[1]  the interval that adds to them until now
-- ARGV[2]  the one that does from now on; then the event IDs
--
-- Returns 1 if it was done, 0 if another interval than ARGV[1] adds to them; then nothing changed.

local before, after, n_events = ARGV[1], ARGV[2], #ARGV - 2
assert(#KEYS == 3 + 2 * n_events, 'adopt: KEYS do not fit ARGV')

if redis.call('GET', KEYS[1]) ~= before then
    return 0
end
redis.call('SET', KEYS[1], after)
for i = 1, n_events do
    local event = ARGV[2 + i]
    local stopped = redis.pcall('GET', KEYS[3 + i])
    local counting = redis.pcall('GET', KEYS[3 + n_events + i])
    if type(stopped) == 'string' then
        redis.pcall('HINCRBY', KEYS[2], event, stopped)
    end
    if type(counting) == 'string' then
        local negative = string.gsub('-' .. counting, '^%-%-', '')
        redis.pcall('HINCRBY', KEYS[2], event, negative)
    else
        redis.call('ZADD', KEYS[3], redis.call('TIME')[1], event)
    end
end
return 1
