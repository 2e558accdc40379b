-- Let another interval of a group add to its totals, because the one that did is not in use any more.
-- What an event has counted since ever, its stored total and its running count, stays the same.
--
-- KEYS[1]  string: the interval of the group whose counts are added to the totals
-- KEYS[2]  hash: what each event has counted in the finished intervals since ever
-- then one string per event: its count in the running interval of that interval,
-- then one string per event: its count in the running interval of the new one
--
-- ARGV[1]  the interval that adds to them until now
-- ARGV[2]  the one that does from now on; then the event IDs
--
-- Returns 1 if it was done, 0 if another interval than ARGV[1] adds to them; then nothing changed.

local before, after, n_events = ARGV[1], ARGV[2], #ARGV - 2
assert(#KEYS == 2 + 2 * n_events, 'adopt: KEYS do not fit ARGV')

if redis.call('GET', KEYS[1]) ~= before then
    return 0
end
redis.call('SET', KEYS[1], after)
for i = 1, n_events do
    local gone = redis.pcall('GET', KEYS[2 + i])
    local now_counting = redis.pcall('GET', KEYS[2 + n_events + i])
    if type(gone) == 'string' then
        redis.pcall('HINCRBY', KEYS[2], ARGV[2 + i], gone)
    end
    if type(now_counting) == 'string' then
        local negative = string.gsub('-' .. now_counting, '^%-%-', '')
        redis.pcall('HINCRBY', KEYS[2], ARGV[2 + i], negative)
    end
end
return 1
