-- Change fields of the hashes of a group's alerts in one step, if other fields are as expected.
--
-- KEYS[1]  hash of the states: positions, progress of each rule, acknowledgements
-- KEYS[2]  hash of the notifications that are not confirmed
--
-- ARGV[1]  number of expected fields
-- ARGV[2]  number of KEYS, field and value, for each expected field; the value '' stands for a missing field
-- ...      the same for each field to change; the value '' removes the field
--
-- Returns 1 if the fields were changed, 0 if a field was not as expected.

local n_expected = tonumber(ARGV[1])
for key = 1, #KEYS do
    redis.call('HLEN', KEYS[key])  -- a key of another type is an error, before the first write
end
for at = 2, 3 * n_expected + 1, 3 do
    local found = redis.call('HGET', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
    if (found or '') ~= ARGV[at + 2] then
        return 0
    end
end
for at = 3 * n_expected + 2, #ARGV, 3 do
    local key, field, value = KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2]
    if value == '' then
        redis.call('HDEL', key, field)
    else
        redis.call('HSET', key, field, value)
    end
end
return 1
